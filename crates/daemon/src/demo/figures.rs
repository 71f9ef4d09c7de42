//! What the demo prints: times, bytes, share of the line, and what one TCP
//! connection could have done there.

use std::time::Duration;

use limosa_datapath::relay::Line;
use limosa_session::Outcome;
use limosa_wire::Rate;

/// Share of an IP packet of 1,500 bytes that is payload of the linear space:
/// 20 IP, 8 UDP, 27 datagram, 9 frame.
const PAYLOAD_SHARE: f64 = 1436.0 / 1500.0;

/// Figures of one transfer.
#[derive(Debug)]
pub(super) struct Figures {
    what: &'static str,
    bytes: u64,
    entries: u64,
    /// First datagram to verified end.
    moving: Duration,
    setup: Duration,
    /// Percent of what the line can carry of payload.
    share: f64,
    /// Percent of the bytes sent that were not needed, where this end sent.
    redundant: Option<f64>,
}

impl Figures {
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn of(what: &'static str, outcome: &Outcome, line: &Line, sending: bool) -> Self {
        let moving = outcome.times.ended;
        let possible = line.rate.bytes_per_second() * (1.0 - line.loss) * PAYLOAD_SHARE;
        let bytes = outcome.summary.bytes.max(outcome.theirs.map_or(0, |theirs| theirs.bytes));
        let connection = outcome.connection.as_ref().filter(|_| sending);
        Self {
            what,
            bytes,
            entries: outcome.summary.settled.max(outcome.theirs.map_or(0, |theirs| theirs.settled)),
            moving,
            setup: outcome.times.setup,
            share: 100.0 * bytes as f64 / moving.as_secs_f64() / possible,
            redundant: connection.map(|c| 100.0 * c.sent.redundant_bytes as f64 / c.sent.new_bytes.max(1) as f64),
        }
    }

    #[allow(clippy::cast_precision_loss)]
    pub(super) fn print(&self) {
        let rate = Rate::from_bytes_per_second(self.bytes as f64 / self.moving.as_secs_f64());
        let redundant = self.redundant.map_or(String::new(), |share| format!(", {share:.2} % sent needlessly"));
        println!(
            "  {:8} {} bytes in {} entries: {:.2} s at {rate}, {:.0} % of what the line can carry{redundant} (start-up and verification included; set-up {:.2} s before)",
            self.what,
            self.bytes,
            self.entries,
            self.moving.as_secs_f64(),
            self.share,
            self.setup.as_secs_f64(),
        );
    }
}

/// What one TCP connection limited by loss reaches at best: the formula of
/// Mathis, Semke, Mahdavi and Ott (1997), `MSS/RTT · sqrt(3/2) / sqrt(p)`.
fn mathis(line: &Line) -> Option<Rate> {
    const SEGMENT: f64 = 1460.0;
    let seconds = line.rtt.as_secs_f64();
    let bytes = SEGMENT / seconds * 1.5_f64.sqrt() / line.loss.sqrt();
    (line.loss > 0.0 && seconds > 0.0).then(|| Rate::from_bytes_per_second(bytes).min(line.rate))
}

pub(super) fn print_tcp(line: &Line) {
    match mathis(line) {
        Some(rate) => println!(
            "  one loss-limited TCP connection could have moved {rate} there (Mathis et al. 1997: MSS/RTT · sqrt(3/2)/sqrt(loss))"
        ),
        None => println!("  without loss or delay the formula for loss-limited TCP sets no bound here"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formula_gives_the_known_figure() {
        // 1460 bytes, 100 ms, 1 %: 1.43 Mbit/s.
        let rate = mathis(&Line::default()).map(Rate::bits_per_second);
        assert_eq!(rate.map(|bits| bits / 10_000), Some(143));
        assert_eq!(mathis(&Line { loss: 0.0, ..Line::default() }), None);
    }
}
