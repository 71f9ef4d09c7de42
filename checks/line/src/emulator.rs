//! The threads that drive a line by the clock, one for each direction.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use limosa_sim::LineSettings;
use limosa_sim::random::Seed;
use limosa_transport::Time;
use rustix::thread::{ClockId, Timespec, clock_nanosleep_relative};
use rustix::time::clock_gettime;

use crate::device::Device;
use crate::direction::{Direction, Figures};
use crate::system;

/// Packets taken in before others are let out.
const BATCH: usize = 128;
/// Longest IP packet there is.
const LONGEST: usize = 65_535;
/// How long a thread sleeps at most, so that it notices when it is to end.
const NAP: Duration = Duration::from_millis(20);

/// A line that is up; it ends when this does.
#[derive(Debug)]
pub struct Emulator {
    ending: Arc<AtomicBool>,
    published: [Arc<Mutex<Figures>>; 2],
    threads: [Option<JoinHandle<io::Result<()>>>; 2],
}

impl Emulator {
    /// Joins two devices, which must be switched on: forward is from the first
    /// to the second.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start(devices: [Device; 2], line: LineSettings, seed: Seed) -> io::Result<Self> {
        let ending = Arc::new(AtomicBool::new(false));
        let published: [Arc<Mutex<Figures>>; 2] = Default::default();
        let [near, far] = devices.map(Arc::new);
        let start = |name: &str, settings, ends: [&Arc<Device>; 2], figures: &Arc<Mutex<Figures>>| {
            let [from, to] = ends.map(Arc::clone);
            let direction = Direction::new(settings, seed.part(name));
            let (ending, published) = (Arc::clone(&ending), Arc::clone(figures));
            let carrier =
                Carrier { from, to, direction, ending, published, zero: Instant::now(), buffer: vec![0; LONGEST] };
            thread::Builder::new().name(format!("line {name}")).spawn(|| carrier.run())
        };
        let forward = start("forward", line.forward, [&near, &far], &published[0])?;
        let reverse = start("reverse", line.reverse, [&far, &near], &published[1])?;
        Ok(Self { ending, published, threads: [Some(forward), Some(reverse)] })
    }

    /// What happened so far, forward and reverse.
    #[must_use]
    pub fn figures(&self) -> [Figures; 2] {
        self.published.each_ref().map(|figures| *figures.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends the line.
    ///
    /// # Errors
    /// If a device failed before.
    pub fn end(mut self) -> io::Result<()> {
        self.join()
    }

    fn join(&mut self) -> io::Result<()> {
        self.ending.store(true, Ordering::Relaxed);
        let mut threads = self.threads.iter_mut().filter_map(Option::take);
        threads.try_for_each(|thread| thread.join().map_err(|_| io::Error::other("a thread of the line panicked"))?)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.join();
    }
}

/// Carries packets from one device to the other.
struct Carrier {
    from: Arc<Device>,
    to: Arc<Device>,
    direction: Direction,
    ending: Arc<AtomicBool>,
    published: Arc<Mutex<Figures>>,
    zero: Instant,
    buffer: Vec<u8>,
}

impl Carrier {
    fn run(mut self) -> io::Result<()> {
        let first = system::run_first();
        let mut planned = self.now();
        while !self.ending.load(Ordering::Relaxed) {
            let now = self.now();
            let taken = self.take(now, now.since(planned))?;
            let given = self.give();
            self.publish(first);
            planned = if taken == BATCH { self.now() } else { self.wait(taken + given > 0)? };
        }
        Ok(())
    }

    fn now(&self) -> Time {
        Time::ZERO + self.zero.elapsed()
    }

    /// Takes in what waits at the near device; how many packets.
    fn take(&mut self, now: Time, delayed: Duration) -> io::Result<usize> {
        for count in 0..BATCH {
            match self.from.read(&mut self.buffer)? {
                Some(packet) => self.direction.take(now, delayed, packet),
                None => return Ok(count),
            }
        }
        Ok(BATCH)
    }

    /// Lets out whose time has come; how many packets.
    fn give(&mut self) -> usize {
        let mut count = 0;
        while let Some(packet) = self.direction.give(self.now()) {
            if !self.to.write(packet.bytes()) {
                self.direction.refused();
            }
            count += 1;
        }
        count
    }

    fn publish(&self, first: bool) {
        let cpu = clock_gettime(ClockId::ThreadCPUTime);
        let cpu = Duration::new(cpu.tv_sec.unsigned_abs(), u32::try_from(cpu.tv_nsec).unwrap_or(0));
        let figures = Figures { cpu, first, ..self.direction.figures() };
        *self.published.lock().unwrap_or_else(PoisonError::into_inner) = figures;
    }

    /// Waits for the next look: a step while packets pass, else until there is
    /// something to do. When it was meant to be.
    fn wait(&self, busy: bool) -> io::Result<Time> {
        let now = self.now();
        if busy {
            let step = self.direction.step();
            sleep(step)?;
            return Ok(now + step);
        }
        let due = self.direction.next_event().unwrap_or(now + NAP).min(now + NAP);
        self.from.await_packet(due.since(now))?;
        // A packet that ends the wait early comes in when it does.
        Ok(self.now().min(due))
    }
}

fn sleep(time: Duration) -> io::Result<()> {
    let time = Timespec::try_from(time).map_err(io::Error::other)?;
    match clock_nanosleep_relative(ClockId::Monotonic, &time) {
        rustix::thread::NanosleepRelativeResult::Err(error) => Err(error.into()),
        _ => Ok(()),
    }
}
