//! A line made by the kernel: two bridges in namespaces of their own between
//! the ends, with the queue and the rate on one and the delay and the losses on
//! the other.
//!
//! Neither would do on the ends' own cards: a sender notices when the queue of
//! its own card is full, and the line's it must not; and the delay of a packet
//! begins where the queue has ended.

use std::io;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use limosa_sim::link::{LossPlace, Queue};
use limosa_sim::{LineSettings, LinkSettings};

use crate::network::ip;
use crate::remains::Namespace;
use crate::scratch::check;

/// How long the bottleneck may send at full speed before it has to wait.
const BURST: Duration = Duration::from_micros(200);
/// Bytes of an Ethernet header, which a line's rate does not count.
const ETHERNET: i32 = 14;

/// The bridges; they go when this does.
#[derive(Debug)]
pub struct Netem([Namespace; 2]);

/// Whether this kernel can make a line: it has netem, and the line has nothing
/// but rate, queue, delay and independent losses.
#[must_use]
pub fn can_make(line: &LineSettings) -> bool {
    let plain = |link: &LinkSettings| {
        let Queue::Time(_) = link.queue else { return false };
        let same = LinkSettings { loss: link.loss, queue: link.queue, ..LinkSettings::new(link.rate, link.delay) };
        *link == same && link.loss_place == LossPlace::AfterQueue
    };
    plain(&line.forward) && plain(&line.reverse) && is_there()
}

/// Whether the kernel has netem: it is asked for it in a namespace, once.
fn is_there() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let name = format!("limosa-{}-netem", std::process::id());
        let Ok(namespace) = Namespace::make(&name) else { return false };
        quietly(namespace.name(), "qdisc add dev lo root netem delay 1ms").unwrap_or(false)
    })
}

impl Netem {
    /// Joins the namespaces `ends`, each of which gets a `card0`.
    pub(crate) fn make(ends: [&str; 2], line: &LineSettings) -> io::Result<Self> {
        let [near, far] = ends.map(|end| Namespace::make(&format!("{end}-bridge")));
        let netem = Self([near?, far?]);
        let [near, far] = netem.0.each_ref().map(Namespace::name);
        for bridge in [near, far] {
            ip(&format!("-n {bridge} link add bridge0 type bridge"))?;
            ip(&format!("-n {bridge} link set bridge0 up"))?;
        }
        ip(&format!("link add card0 netns {} type veth peer name outside netns {near}", ends[0]))?;
        ip(&format!("link add inside netns {near} type veth peer name inside netns {far}"))?;
        ip(&format!("link add card0 netns {} type veth peer name outside netns {far}", ends[1]))?;
        for end in ends {
            // Each packet for itself: a larger one would be queued, and lost, as one.
            ip(&format!("-n {end} link set card0 gso_max_segs 1"))?;
        }
        for bridge in [near, far] {
            for card in ["outside", "inside"] {
                ip(&format!("-n {bridge} link set {card} master bridge0"))?;
                ip(&format!("-n {bridge} link set {card} up"))?;
            }
        }
        direction(&line.forward, near, far)?;
        direction(&line.reverse, far, near)?;
        Ok(netem)
    }
}

/// Puts the bottleneck where packets leave the first bridge, delay and loss
/// where they leave the second.
fn direction(link: &LinkSettings, first: &str, second: &str) -> io::Result<()> {
    let rate = link.rate.bits_per_second();
    let bytes = |time: Duration| (rate as f64 / 8.0 * time.as_secs_f64()) as u64;
    let burst = bytes(BURST).max(2 * u64::from(link.mtu));
    let Queue::Time(queue) = link.queue else { return Err(io::ErrorKind::Unsupported.into()) };
    let limit = bytes(queue) + burst;
    tc(
        first,
        &format!(
            "qdisc add dev inside root stab overhead -{ETHERNET} linklayer ethernet \
             tbf rate {rate}bit burst {burst} limit {limit}"
        ),
    )?;
    let (delay, loss) = (link.delay.as_micros(), link.loss * 100.0);
    tc(second, &format!("qdisc add dev outside root netem delay {delay}us loss {loss}% limit 100000000"))
}

fn tc(namespace: &str, words: &str) -> io::Result<()> {
    check(Command::new("tc").args(["-n", namespace]).args(words.split_whitespace()))
}

/// The same without a word to the user where it fails.
fn quietly(namespace: &str, words: &str) -> io::Result<bool> {
    let mut tc = Command::new("tc");
    tc.args(["-n", namespace]).args(words.split_whitespace());
    Ok(tc.stdout(Stdio::null()).stderr(Stdio::null()).status()?.success())
}
