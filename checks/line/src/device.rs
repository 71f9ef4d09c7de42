//! A TUN device: what programs send there is read here, what is written here
//! arrives there.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::AsFd;
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::system;

/// A device; it goes when this does.
#[derive(Debug)]
pub struct Device(File);

impl Device {
    /// Makes the device `name` in the network namespace of this thread. It
    /// still has to be given an address and switched on.
    ///
    /// # Errors
    /// Without root or `/dev/net/tun`, or if the name is taken.
    pub fn make(name: &str) -> io::Result<Self> {
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let tun = OpenOptions::new().read(true).write(true).custom_flags(flags).open("/dev/net/tun")?;
        system::make_device(tun.as_fd(), name)?;
        Ok(Self(tun))
    }

    /// The next packet that waits, or `None`.
    pub(crate) fn read<'b>(&self, buffer: &'b mut [u8]) -> io::Result<Option<&'b [u8]>> {
        match rustix::io::read(&self.0, &mut *buffer) {
            Ok(length) => Ok(buffer.get(..length)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Hands a packet to the kernel; whether it took it. It does not while the
    /// device is switched off.
    pub(crate) fn write(&self, packet: &[u8]) -> bool {
        rustix::io::write(&self.0, packet).is_ok_and(|written| written == packet.len())
    }

    /// Waits until a packet can be read, at most so long.
    pub(crate) fn await_packet(&self, patience: std::time::Duration) -> io::Result<()> {
        let patience = Timespec::try_from(patience).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&patience)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
