//! How long one file takes from end to end: the whole transfer as it ships,
//! with its layout, verdicts and farewell.

use std::time::Duration;

use limosa_storage::{StorageError, Store};
use limosa_transport::Time;
use limosa_wire::Rate;

use super::tree::plant_file;
use super::{SOURCE, Session, TransferPlan, make_destination, path};
use crate::disk::{Disk, Speed};
use crate::line::Side;
use crate::link::{LinkSettings, Queue};
use crate::random::Seed;

/// No single file takes longer, in virtual time.
const LIMIT: Duration = Duration::from_secs(600);

/// One file over one line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SingleFile {
    /// Its size in bytes.
    pub size: u64,
    /// Rate of the bottleneck.
    pub rate: Rate,
    /// Round trip.
    pub rtt: Duration,
    /// Random loss each way, 0 to 1.
    pub loss: f64,
}

impl SingleFile {
    /// Time that the line needs for its bytes, headers and what random loss
    /// takes included.
    #[must_use]
    pub fn line_time(&self) -> Duration {
        let share = crate::session::SessionPlan::upload(self.size).payload_share();
        Duration::from_secs_f64(self.size as f64 / (self.rate.bytes_per_second() * (1.0 - self.loss) * share))
    }

    /// From the first datagram with data to the moment at which the sender
    /// knows that the file is there and verified; `None` if that never came.
    ///
    /// # Errors
    /// If the disks cannot be prepared.
    pub fn run(&self, seed: u64) -> Result<Option<Duration>, StorageError> {
        let (source, destination) = (Disk::new(), Disk::new());
        source.make_directory(&path(SOURCE))?;
        make_destination(&destination);
        plant_file(&source, &path(&format!("{SOURCE}/file")), self.size, &mut Seed(seed).stream("file"))?;
        for disk in [&source, &destination] {
            disk.settle();
            disk.set_speed(Speed::SOLID_STATE);
        }
        let mut link = LinkSettings::new(self.rate, self.rtt / 2);
        (link.loss, link.queue) = (self.loss, Queue::Time(Duration::from_millis(50)));
        let mut session = Session::start(&TransferPlan::over(link), &source, &destination, Seed(seed))?;
        let limit = Time::ZERO + LIMIT;
        let near = |session: &Session| session.machine(Side::Near).statistics().sent;
        session.run_until(limit, |session| near(session).new_bytes > 0);
        let began = session.now();
        session.run_until(limit, |session| session.machine(Side::Near).job().is_complete());
        Ok((session.now() < limit).then(|| session.now().since(began)))
    }
}
