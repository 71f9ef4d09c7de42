//! What senders and queue did over time, as rows or as a picture.

use std::fmt::Write;
use std::time::Duration;

use limosa_transport::Time;
use limosa_wire::Rate;

use crate::pace::Gauge;

/// The state of everything at one moment.
#[derive(Clone, Debug)]
pub struct TracePoint {
    /// When.
    pub at: Time,
    /// Rate of the forward line.
    pub line: Rate,
    /// Time a packet would have waited in the forward queue.
    pub queue: Duration,
    /// Per flow: bytes delivered so far, and what its sender believes.
    pub flows: Vec<(u64, Option<Gauge>)>,
}

/// The points of a run, in order.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// The points.
    pub points: Vec<TracePoint>,
}

impl Trace {
    /// One row per flow and moment; rates in Mbit/s, times in ms.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut csv =
            String::from("seconds,line,queue,flow,goodput,pace,capacity,queue_seen,baseline_loss,in_flight,phase\n");
        for pair in self.points.windows(2) {
            for flow in 0..pair[1].flows.len() {
                self.row(&mut csv, &pair[0], &pair[1], flow);
            }
        }
        csv
    }

    fn row(&self, csv: &mut String, before: &TracePoint, point: &TracePoint, flow: usize) {
        let goodput = goodput(before, point, flow);
        let _ = write!(
            csv,
            "{:.4},{:.1},{:.2},{flow},{goodput:.1}",
            seconds(point.at),
            megabits(point.line),
            millis(point.queue),
        );
        let _ = match point.flows[flow].1 {
            None => writeln!(csv, ",,,,,,"),
            Some(gauge) => writeln!(
                csv,
                ",{:.1},{:.1},{:.2},{:.4},{},{}",
                megabits(gauge.pace),
                megabits(gauge.capacity),
                millis(gauge.queue),
                gauge.baseline_loss,
                gauge.in_flight,
                gauge.phase,
            ),
        };
    }

    /// A picture: above, each flow's goodput and, dashed, its pace, and the
    /// line's rate in grey; the phases as coloured bars; below, the queue and,
    /// dashed, the delay that each sender sees of it.
    #[must_use]
    pub fn svg(&self, title: &str) -> String {
        svg::draw(self, title)
    }
}

fn seconds(at: Time) -> f64 {
    at.nanos() as f64 / 1e9
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn megabits(rate: Rate) -> f64 {
    rate.bits_per_second() as f64 / 1e6
}

/// Mbit/s delivered between two points.
fn goodput(before: &TracePoint, point: &TracePoint, flow: usize) -> f64 {
    let bytes = point.flows[flow].0 - before.flows[flow].0;
    bytes as f64 * 8e-6 / point.at.since(before.at).as_secs_f64()
}

mod svg {
    //! The picture. Coordinates are rounded to tenths, so that it can be kept
    //! as a snapshot.

    use super::{Trace, Write, goodput, megabits, millis, seconds};

    const WIDTH: f64 = 900.0;
    const LEFT: f64 = 60.0;
    const RATES: (f64, f64) = (30.0, 270.0);
    const PHASES: f64 = 278.0;
    const QUEUE: (f64, f64) = (320.0, 460.0);
    const HEIGHT: f64 = 490.0;
    const COLOURS: [&str; 8] = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#e377c2"];

    /// Maps values to a panel's coordinates.
    struct Panel {
        from: f64,
        until: f64,
        top: f64,
        bottom: f64,
        largest: f64,
    }

    impl Panel {
        fn x(&self, at: f64) -> f64 {
            LEFT + (at - self.from) / (self.until - self.from) * (WIDTH - LEFT - 10.0)
        }

        fn y(&self, value: f64) -> f64 {
            self.bottom - value.min(self.largest) / self.largest * (self.bottom - self.top)
        }

        fn line(&self, svg: &mut String, style: &str, points: impl Iterator<Item = (f64, f64)>) {
            let _ = write!(svg, "<polyline fill=\"none\" {style} points=\"");
            for (at, value) in points {
                let _ = write!(svg, "{:.1},{:.1} ", self.x(at), self.y(value));
            }
            svg.push_str("\"/>\n");
        }

        /// Frame, grid and labels.
        fn axes(&self, svg: &mut String, unit: &str) {
            for quarter in 0..=4 {
                let value = self.largest * f64::from(quarter) / 4.0;
                let y = self.y(value);
                let _ = writeln!(
                    svg,
                    "<path d=\"M{LEFT} {y:.1}H{:.1}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value:.4}</text>",
                    WIDTH - 10.0,
                    LEFT - 4.0,
                    y + 4.0,
                    value = (value * 100.0).round() / 100.0,
                );
            }
            let _ = writeln!(svg, "<text x=\"4\" y=\"{:.1}\">{unit}</text>", self.top - 8.0);
        }
    }

    pub(super) fn draw(trace: &Trace, title: &str) -> String {
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"{LEFT}\" y=\"16\" font-size=\"13\">{title}</text>\n"
        );
        let (Some(first), Some(last)) = (trace.points.first(), trace.points.last()) else {
            svg.push_str("</svg>\n");
            return svg;
        };
        let panel = |(top, bottom): (f64, f64), largest: f64| Panel {
            from: seconds(first.at),
            until: seconds(last.at).max(seconds(first.at) + 1e-3),
            top,
            bottom,
            largest: largest.max(1e-3),
        };
        let line = trace.points.iter().map(|p| megabits(p.line)).fold(0.0, f64::max);
        rates(&mut svg, trace, &panel(RATES, line * 1.3));
        let queue = trace.points.iter().map(|p| millis(p.queue)).fold(0.0, f64::max);
        queues(&mut svg, trace, &panel(QUEUE, queue * 1.05));
        svg.push_str("</svg>\n");
        svg
    }

    fn rates(svg: &mut String, trace: &Trace, panel: &Panel) {
        panel.axes(svg, "Mbit/s");
        panel.line(svg, "stroke=\"#999\"", trace.points.iter().map(|p| (seconds(p.at), megabits(p.line))));
        let flows = trace.points.first().map_or(0, |p| p.flows.len());
        for flow in 0..flows {
            let colour = COLOURS[flow % COLOURS.len()];
            let paces = trace.points.iter().filter_map(|p| Some((seconds(p.at), megabits(p.flows[flow].1?.pace))));
            panel.line(svg, &format!("stroke=\"{colour}\" stroke-width=\"0.5\" stroke-dasharray=\"3 2\""), paces);
            let goodputs = trace.points.windows(2).map(|p| (seconds(p[1].at), goodput(&p[0], &p[1], flow)));
            panel.line(svg, &format!("stroke=\"{colour}\""), goodputs);
            phases(svg, trace, panel, flow);
        }
    }

    /// A bar per flow, one rectangle per stretch of one phase.
    fn phases(svg: &mut String, trace: &Trace, panel: &Panel, flow: usize) {
        let phase = |index: usize| trace.points[index].flows[flow].1.map(|gauge| gauge.phase);
        let mut start = 0;
        for index in 1..=trace.points.len() {
            if index < trace.points.len() && phase(index) == phase(start) {
                continue;
            }
            if let Some(name) = phase(start) {
                let from = panel.x(seconds(trace.points[start].at));
                let until = panel.x(seconds(trace.points[index.min(trace.points.len() - 1)].at));
                let _ = writeln!(
                    svg,
                    "<rect x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"3\" fill=\"{}\"><title>{name}</title></rect>",
                    PHASES + 3.5 * (flow % 8) as f64,
                    (until - from).max(0.5),
                    colour(name),
                );
            }
            start = index;
        }
    }

    /// The same colour for the same phase in every picture.
    fn colour(phase: &str) -> &'static str {
        let sum = phase.bytes().fold(0_usize, |sum, b| sum.wrapping_mul(31).wrapping_add(usize::from(b)));
        COLOURS[sum % COLOURS.len()]
    }

    fn queues(svg: &mut String, trace: &Trace, panel: &Panel) {
        panel.axes(svg, "queue, ms");
        let flows = trace.points.first().map_or(0, |p| p.flows.len());
        for flow in 0..flows {
            let colour = COLOURS[flow % COLOURS.len()];
            let seen = trace.points.iter().filter_map(|p| Some((seconds(p.at), millis(p.flows[flow].1?.queue))));
            panel.line(svg, &format!("stroke=\"{colour}\" stroke-width=\"0.5\" stroke-dasharray=\"3 2\""), seen);
        }
        panel.line(svg, "stroke=\"#333\"", trace.points.iter().map(|p| (seconds(p.at), millis(p.queue))));
        for tenth in 0..=10 {
            let at = panel.from + (panel.until - panel.from) * f64::from(tenth) / 10.0;
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{at:.1} s</text>",
                panel.x(at),
                panel.bottom + 16.0,
            );
        }
    }
}
