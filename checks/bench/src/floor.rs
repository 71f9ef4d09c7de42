//! What moving bytes costs at least on this machine: the stages of a transfer
//! with nothing between them.
//!
//! One thread reads, digests, seals and sends; the other receives, opens,
//! writes and digests. Sockets, protection and digests are Limosa's own; there
//! are no streams, reports, retransmissions, journals or rate control. A window
//! in shared memory keeps the receiver's buffer from overflowing, so nothing is
//! lost and nothing has to be repeated.

use std::fs::File;
use std::io::{self, Error};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use limosa_datapath::{BufferSizes, Outgoing, ReceiveBatch, Sent, UdpSocket};
use limosa_seal::datagram::{DatagramOpener, DatagramSealer};
use limosa_transport::Ecn;
use limosa_wire::PacketNumber;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::time::{ClockId, clock_gettime};

use crate::network::Place;
use crate::protection::{algorithm, keys};

/// Bytes read, written and digested at once: little enough to stay in the
/// processor's cache from stage to stage.
const BLOCK: usize = 128 << 10;
/// Bytes on the way at most.
const WINDOW: u64 = 2 << 20;
/// Most bytes of one sending call.
const CALL: usize = 65_507;
/// Packet number, which stands in front of every datagram.
const HEADER: usize = 8;
const TAG: usize = 16;
/// IPv4 and UDP headers.
const IP_AND_UDP: usize = 28;
/// The receiver has failed if nothing comes for so long.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which stages are there beside sending and receiving.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stages {
    /// Datagrams are sealed and opened.
    pub protection: bool,
    /// Blocks are digested at both ends.
    pub digest: bool,
    /// Bytes come from a file and go to one.
    pub files: bool,
}

/// What a run took.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// From the first byte to the last.
    pub elapsed: Duration,
    /// CPU time of the sending end.
    pub sender: Duration,
    /// CPU time of the receiving end.
    pub receiver: Duration,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Floor<'a> {
    /// Where the ends are.
    pub places: [&'a Place; 2],
    /// Largest IP packet.
    pub packet: usize,
    /// Bytes to move, a multiple of 128 KiB; the source file has as many.
    pub length: u64,
    /// The stages.
    pub stages: Stages,
    /// The file that is read.
    pub source: &'a Path,
    /// The file that is made.
    pub target: &'a Path,
}

impl Floor<'_> {
    /// Moves the bytes.
    ///
    /// # Errors
    /// If a socket or file fails, or datagrams were lost.
    pub fn run(&self) -> io::Result<Cost> {
        if !self.length.is_multiple_of(BLOCK as u64) {
            return Err(Error::new(io::ErrorKind::InvalidInput, "only whole blocks are moved"));
        }
        let [(sealer, _), (_, opener)] = keys();
        let window = Arc::new(Window::default());
        let bind =
            |place: &Place| place.inside(|| UdpSocket::bind(SocketAddr::new(place.address, 0), BufferSizes::default()));
        let (from, to) = (bind(self.places[0])?, bind(self.places[1])?);
        let address = to.local_addr();
        let began = Instant::now();
        let (sent, received) = thread::scope(|scope| {
            let sender = scope.spawn(|| measured(|| self.send(from, address, sealer, &window)));
            let receiver = scope.spawn(|| measured(|| self.receive(to, opener, &window)));
            (sender.join(), receiver.join())
        });
        let failed = |_| Error::other("a thread of the floor panicked");
        let (sender, receiver) = (sent.map_err(failed)??, received.map_err(failed)??);
        Ok(Cost { elapsed: began.elapsed(), sender, receiver })
    }

    fn payload(&self) -> usize {
        self.packet - IP_AND_UDP - HEADER - if self.stages.protection { TAG } else { 0 }
    }

    fn send(
        &self,
        mut socket: UdpSocket,
        to: SocketAddr,
        mut sealer: DatagramSealer,
        window: &Window,
    ) -> io::Result<()> {
        let source = File::open(self.source)?;
        let (mut block, mut call) = (vec![0; BLOCK], Vec::with_capacity(CALL));
        let datagram = self.packet - IP_AND_UDP;
        let mut number = PacketNumber::default();
        for offset in (0..self.length).step_by(BLOCK) {
            if self.stages.files {
                source.read_exact_at(&mut block, offset)?;
            }
            self.digest(&block);
            let mut rest = &block[..];
            while !rest.is_empty() {
                call.clear();
                let before = rest.len();
                while !rest.is_empty() && call.len() + datagram <= CALL {
                    let (payload, later) = rest.split_at(rest.len().min(self.payload()));
                    rest = later;
                    self.pack(&mut call, number, payload, &mut sealer)?;
                    number = number.next().ok_or_else(|| Error::other("out of packet numbers"))?;
                }
                window.take((before - rest.len()) as u64)?;
                send_all(&mut socket, to, datagram, &call)?;
            }
        }
        Ok(())
    }

    fn pack(
        &self,
        call: &mut Vec<u8>,
        number: PacketNumber,
        payload: &[u8],
        sealer: &mut DatagramSealer,
    ) -> io::Result<()> {
        let header = number.get().to_be_bytes();
        call.extend_from_slice(&header);
        let start = call.len();
        call.extend_from_slice(payload);
        if self.stages.protection {
            call.extend_from_slice(&[0; TAG]);
            sealer.seal(number, &header, &mut call[start..]).map_err(Error::other)?;
        }
        Ok(())
    }

    fn receive(&self, mut socket: UdpSocket, mut opener: DatagramOpener, window: &Window) -> io::Result<()> {
        let target = File::create(self.target)?;
        let (mut batch, mut block) = (ReceiveBatch::new(), Vec::with_capacity(BLOCK));
        let mut done = 0;
        while done < self.length {
            socket.receive(&mut batch)?;
            if batch.is_empty() {
                await_datagrams(&socket)?;
                continue;
            }
            let before = done;
            for (_, datagram) in batch.datagrams() {
                let payload = self.unpack(datagram, &mut opener)?;
                block.extend_from_slice(payload);
                done += payload.len() as u64;
                if block.len() == BLOCK {
                    if self.stages.files {
                        target.write_all_at(&block, done - BLOCK as u64)?;
                    }
                    self.digest(&block);
                    block.clear();
                }
            }
            window.give(done - before);
        }
        Ok(())
    }

    fn unpack<'d>(&self, datagram: &'d mut [u8], opener: &mut DatagramOpener) -> io::Result<&'d [u8]> {
        let (header, body) = datagram.split_at_mut_checked(HEADER).ok_or(io::ErrorKind::InvalidData)?;
        if !self.stages.protection {
            return Ok(body);
        }
        let number = header.try_into().map(u64::from_be_bytes).map_err(Error::other)?;
        let number = PacketNumber::new(number).ok_or(io::ErrorKind::InvalidData)?;
        opener.open(number, header, body).map(|payload| &*payload).map_err(Error::other)
    }

    fn digest(&self, block: &[u8]) {
        if self.stages.digest {
            let mut hasher = algorithm().hasher();
            hasher.update(block);
            std::hint::black_box(hasher.finish());
        }
    }
}

fn send_all(socket: &mut UdpSocket, to: SocketAddr, segment: usize, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let outgoing = Outgoing { to, local: None, ecn: Ecn::NotCapable, segment, bytes };
        match socket.send(&outgoing)? {
            Sent::Bytes(count) => bytes = &bytes[count..],
            Sent::Blocked => drop(poll(&mut [PollFd::new(socket, PollFlags::OUT)], None)?),
        }
    }
    Ok(())
}

fn await_datagrams(socket: &UdpSocket) -> io::Result<()> {
    let patience = Timespec::try_from(PATIENCE).map_err(Error::other)?;
    match poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&patience))? {
        0 => Err(Error::other("datagrams were lost")),
        _ => Ok(()),
    }
}

/// CPU time of this thread for `work`.
fn measured(work: impl FnOnce() -> io::Result<()>) -> io::Result<Duration> {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
    };
    let before = now();
    work()?;
    Ok(now().saturating_sub(before))
}

/// Bytes on the way, bounded.
#[derive(Debug, Default)]
struct Window {
    used: Mutex<u64>,
    freed: Condvar,
}

impl Window {
    /// Waits until `bytes` more may be on the way.
    fn take(&self, bytes: u64) -> io::Result<()> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |used: &mut u64| *used + bytes > WINDOW;
        let waited = self.freed.wait_timeout_while(used, PATIENCE, full);
        let (mut used, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        *used += bytes;
        if waited.timed_out() { Err(Error::other("the receiver has stopped")) } else { Ok(()) }
    }

    /// Wakes the sender once there is room for a good part of the window, so
    /// that it does not wake for every call.
    fn give(&self, bytes: u64) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        *used -= bytes;
        if *used <= WINDOW / 2 {
            self.freed.notify_one();
        }
    }
}
