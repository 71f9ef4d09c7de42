//! `line LINE`: keeps a line such as `1gbit,100ms,1%` up between two network
//! namespaces for whatever is to be tried over it, until standard input ends
//! (Ctrl-D), and then tells what happened on it. Needs Linux, root and `ip`.

use std::error::Error;
use std::io;

use limosa_bench::network::Pair;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [line] = &words[..] else {
        return Err("line LINE, where a LINE is RATE,RTT[,LOSS][,KEY=VALUE]…, such as 1gbit,100ms,1%".into());
    };
    let pair = Pair::joined_by(&line.parse()?, 1)?;
    println!("{line} by {}:", pair.maker());
    for place in &pair.places {
        println!("  ip netns exec {} …  # {}", place.namespace.as_deref().unwrap_or_default(), place.address);
    }
    println!("Ctrl-D ends it.");
    io::copy(&mut io::stdin().lock(), &mut io::sink())?;
    for (way, figures) in ["there", "back"].into_iter().zip(pair.figures().into_iter().flatten()) {
        println!("{way}: {figures:#?}");
    }
    Ok(())
}
