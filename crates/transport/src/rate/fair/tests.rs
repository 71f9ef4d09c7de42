//! The law as a whole, on a modelled line.

use std::time::Duration;

use limosa_wire::Rate;

use super::Fair;
use crate::Time;
use crate::rate::line::Line;
use crate::rate::{RateControl, RateLimits};

const OPEN: RateLimits = RateLimits { target: None, cap: Rate::UNLIMITED };

fn fair(line: &Line, rtt_ms: u64) -> Box<dyn RateControl> {
    let rtt = Some(Duration::from_millis(rtt_ms));
    Box::new(Fair::new(line.now(), rtt, OPEN))
}

#[test]
fn one_flow_fills_the_line_and_keeps_the_queue_short() {
    for (megabits, rtt, buffer, loss) in
        [(100, 10, 50, 0.0), (1000, 10, 5, 0.1), (1000, 100, 5, 0.01), (1000, 100, 400, 0.1)]
    {
        let mut line = Line::new(megabits, buffer, loss);
        let law = fair(&line, rtt);
        line.add(law, rtt);
        line.run(rtt as f64 * 0.01);
        line.flow(0).median_queue_ms();
        let used = line.use_over(5.0);
        let queue = line.flow(0).median_queue_ms();
        let case = format!("{megabits} Mbit/s, {rtt} ms, {buffer} ms, {loss}");
        assert!(used > 0.97, "{case}: {used}");
        assert!(queue < 10.0, "{case}: {queue} ms");
    }
}
