//! `limosad check`.

use limosa_node::check::{Finding, Level};
use limosa_node::config::ConfigLayer;
use limosa_wire::Code;

use crate::arguments::CheckArguments;
use crate::failure::Failure;

/// Prints the findings; fails if one of them keeps the server from working.
pub(crate) fn run(arguments: &CheckArguments) -> Result<(), Failure> {
    let config = arguments.place.configuration(ConfigLayer::default())?;
    let state = arguments.place.state()?;
    let findings = limosa_node::check::examine(&config, &state);
    for Finding { level, about, text } in &findings {
        let mark = match level {
            Level::Good => "ok   ",
            Level::Advice => "note ",
            Level::Wrong => "WRONG",
        };
        println!("{mark}  {about}: {text}");
    }
    let wrong = findings.iter().filter(|finding| finding.level == Level::Wrong).count();
    if wrong == 0 {
        Ok(())
    } else {
        Err(Failure::new(Code::BAD_CONFIGURATION, format!("{wrong} things need a change")))
    }
}
