//! Two flows on one line: what each of them gets, beside what a flow of the
//! kernel's gets alone.
//!
//! The simulator asks the same of its models (its example `rivals`); here
//! the rival is the kernel's own TCP, and the line passes in real time. One flow
//! starts, the other follows 5 s later; the first quarter of a run, in which
//! they start and find each other, is left out.

mod settings;

use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use limosa_line::Figures;

use crate::flow::{Flow, Kind, Stream, Transfer};
use crate::lab::median;
use crate::network::{Medium, Pair};
use crate::scratch::Scratch;
use crate::server::Sshd;

pub use settings::{First, Settings};

/// When the second flow starts.
const LATE: Duration = Duration::from_secs(5);
/// From one look at the flows to the next.
const SAMPLE: Duration = Duration::from_secs(1);
/// From one look at the queue to the next.
const GLANCE: Duration = Duration::from_millis(10);
/// Part of a run that is left out, as in the simulator.
const START_UP: f64 = 0.25;

/// Whether TCP may hand packets to the card in one piece that are cut apart
/// there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segments {
    /// As the kernel does by itself.
    Offloaded,
    /// One by one.
    Single,
}

/// What a run is made of.
#[derive(Clone, Copy, Debug)]
pub struct Stage<'a> {
    /// The line.
    pub medium: &'a Medium,
    /// How TCP hands its packets over.
    pub segments: Segments,
    /// How long both flows together last.
    pub duration: Duration,
    /// The program of that name.
    pub limosa: &'a Path,
    /// A file that does not end before the run does.
    pub source: &'a Path,
    /// Keys, and what arrives.
    pub scratch: &'a Scratch,
}

/// What a run gave. Of the flows in the order of their start.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Median of the goodput of each second, in bits per second.
    pub goodput: Vec<f64>,
    /// Goodput of the whole of the steady part.
    pub mean: Vec<f64>,
    /// What the line itself tells, if it is emulated.
    pub line: Option<LineReport>,
}

/// What the emulator saw in the steady part, in the way of the data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LineReport {
    /// Median and 95th percentile of the time that the queue took.
    pub queue: [Duration; 2],
    /// Share of the packets that found it full.
    pub dropped: f64,
    /// The same of Limosa's alone, which are those of UDP; 0 if there were none.
    pub dropped_datagrams: f64,
    /// Share of the packets that the emulator was late with.
    pub late: f64,
}

/// A look at everything.
#[derive(Clone, Debug, Default, PartialEq)]
struct Sample {
    at: Duration,
    /// Bytes that have crossed, of each flow.
    crossed: Vec<u64>,
    /// What the emulator counted, in the way of the data.
    line: Figures,
}

impl Stage<'_> {
    /// Lets flows share the line, which is made for them: they start in their
    /// order, each some time after the one before.
    ///
    /// # Errors
    /// If the line cannot be made, or a flow cannot be started or ends early.
    pub fn run(&self, kinds: &[&Kind]) -> io::Result<Run> {
        // Before the pair, which ends with whoever writes there.
        let destination = Scratch::in_memory("arrived")?;
        let pair = Pair::joined_by(self.medium, 1)?;
        // For the buffers; each stream chooses its law itself.
        pair.tune_tcp("cubic")?;
        if self.segments == Segments::Single {
            pair.cut_packets_early()?;
        }
        let _sshd = Sshd::start(&pair.places[1], 22, self.scratch)?;
        let began = Instant::now();
        let (mut flows, mut samples, mut queue) = (Vec::new(), Vec::new(), Vec::new());
        while began.elapsed() < self.duration {
            if let Some(kind) = kinds.get(flows.len())
                && began.elapsed() >= LATE * flows.len() as u32
            {
                flows.push(self.start(kind, &pair, &destination.path("file"))?);
            }
            thread::sleep(GLANCE);
            let at = began.elapsed();
            queue.extend(pair.figures().map(|[forward, _]| (at, forward.queue)));
            if at >= SAMPLE * samples.len() as u32 {
                flows.iter_mut().try_for_each(Flow::check)?;
                samples.push(sample(at, &flows, kinds.len(), &pair));
            }
        }
        drop(flows);
        let from = self.duration.mul_f64(START_UP);
        samples.retain(|sample| sample.at >= from);
        let queue = queue.into_iter().filter(|(at, _)| *at >= from).map(|(_, queue)| queue).collect();
        evaluate(&samples, queue).ok_or_else(|| io::Error::other("the run was too short"))
    }

    fn start(&self, kind: &Kind, pair: &Pair, destination: &Path) -> io::Result<Flow> {
        match kind {
            Kind::Tcp(law) => Stream::start(pair, law).map(Flow::Tcp),
            Kind::Limosa(policy) => {
                let places = pair.places.each_ref();
                let paths = [self.source, destination];
                let command = Transfer::command(places, self.limosa, policy, self.scratch, paths);
                Transfer::start(&command).map(Flow::Limosa)
            }
        }
    }
}

fn sample(at: Duration, flows: &[Flow], count: usize, pair: &Pair) -> Sample {
    let mut crossed: Vec<u64> = flows.iter().map(Flow::crossed).collect();
    crossed.resize(count, 0);
    let line = pair.figures().map(|[forward, _]| forward);
    Sample { at, crossed, line: line.unwrap_or_default() }
}

/// What the samples of the steady part come to; `None` of less than two.
fn evaluate(samples: &[Sample], mut queue: Vec<Duration>) -> Option<Run> {
    let [first, .., last] = samples else { return None };
    let rate = |from: &Sample, to: &Sample, flow: usize| {
        (to.crossed[flow] - from.crossed[flow]) as f64 * 8.0 / (to.at - from.at).as_secs_f64()
    };
    let each_second = |flow: usize| samples.windows(2).map(|pair| rate(&pair[0], &pair[1], flow)).collect();
    let flows = 0..first.crossed.len();
    let counted = |figure: fn(&Figures) -> u64| (figure(&last.line) - figure(&first.line)) as f64;
    let part = |some: fn(&Figures) -> u64, all: fn(&Figures) -> u64| counted(some) / counted(all).max(1.0);
    queue.sort();
    let line = (!queue.is_empty()).then(|| LineReport {
        queue: [0.5, 0.95].map(|share| queue[(queue.len() as f64 * share) as usize]),
        dropped: part(|line| line.queue_full, |line| line.entered),
        dropped_datagrams: part(|line| line.queue_full_udp, |line| line.entered_udp),
        late: part(|line| line.late, |line| line.entered),
    });
    Some(Run {
        goodput: flows.clone().map(each_second).collect::<Vec<_>>().into_iter().map(median).collect::<Option<_>>()?,
        mean: flows.map(|flow| rate(first, last, flow)).collect(),
        line,
    })
}

/// What part of a line of `rate` bits per second a goodput is, 0 to 1.
#[must_use]
pub fn share(goodput: f64, kind: &Kind, rate: f64) -> f64 {
    goodput / (rate * kind.payload_share())
}

/// What is left to a flow that has `goodput`, of half of what it has alone.
#[must_use]
pub fn left(goodput: f64, alone: f64) -> f64 {
    goodput / (alone / 2.0)
}

/// What `kind` should have of a line beside a busy flow, 0 to 1.
#[must_use]
pub fn keeps_its_bar(kind: &Kind, share: f64) -> bool {
    match kind {
        Kind::Limosa("fair") => share >= 0.35,
        Kind::Limosa("low") => share <= 0.1,
        _ => true,
    }
}

/// Whether a flow keeps enough beside `kind`, of half of what it has alone:
/// no promise of anybody but `fair` and `low`.
#[must_use]
pub fn leaves_enough(kind: &Kind, left: f64) -> bool {
    !matches!(kind, Kind::Limosa("fair" | "low")) || left >= 0.8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64, crossed: [u64; 2]) -> Sample {
        let line = Figures {
            entered: 1000 * second,
            queue_full: 10 * second,
            entered_udp: 100 * second,
            queue_full_udp: 8 * second,
            late: second,
            ..Figures::default()
        };
        Sample { at: Duration::from_secs(second), crossed: crossed.into(), line }
    }

    #[test]
    fn medians_are_of_seconds_and_means_of_everything() {
        let samples = [at(3, [100, 5]), at(4, [200, 5]), at(5, [300, 5]), at(6, [1000, 305])];
        let queue = (0..100).rev().map(Duration::from_millis).collect();
        let run = evaluate(&samples, queue).unwrap();
        assert_eq!(run.goodput, [800.0, 0.0]);
        assert_eq!(run.mean, [2400.0, 800.0]);
        let line = run.line.unwrap();
        assert_eq!(line.queue, [50, 95].map(Duration::from_millis));
        for (figure, expected) in [(line.dropped, 0.01), (line.dropped_datagrams, 0.08), (line.late, 0.001)] {
            assert!((figure - expected).abs() < 1e-9, "{line:?}");
        }
    }

    #[test]
    fn one_look_is_no_run_and_no_emulator_no_report() {
        assert_eq!(evaluate(&[at(3, [1, 1])], Vec::new()), None);
        assert_eq!(evaluate(&[at(3, [1, 1]), at(4, [2, 2])], Vec::new()).unwrap().line, None);
    }

    #[test]
    fn shares_are_of_what_each_could_have() {
        let (tcp, fair) = (Kind::Tcp("cubic".into()), Kind::Limosa("fair"));
        assert!((share(96.533e6, &tcp, 100e6) - 1.0).abs() < 1e-4);
        assert!((share(47.867e6, &fair, 100e6) - 0.5).abs() < 1e-4);
        assert!((left(40e6, 100e6) - 0.8).abs() < 1e-9);
    }

    #[test]
    fn every_policy_has_bars_of_its_own() {
        let [fair, low, high] = ["fair", "low", "high"].map(Kind::Limosa);
        assert!(keeps_its_bar(&fair, 0.36) && !keeps_its_bar(&fair, 0.34));
        assert!(keeps_its_bar(&low, 0.05) && !keeps_its_bar(&low, 0.11));
        assert!(keeps_its_bar(&high, 0.9) && leaves_enough(&high, 0.2));
        assert!(leaves_enough(&low, 1.8) && !leaves_enough(&fair, 0.79));
        let cubic = Kind::Tcp("cubic".into());
        assert!(keeps_its_bar(&cubic, 0.02) && leaves_enough(&cubic, 0.1));
    }
}
