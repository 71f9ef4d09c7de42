//! What the main process tells a new front, once: settings as text, listening
//! socket and host key as open files.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use limosa_ssh::server::{Limits, Settings};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

/// Longest settings, bytes; a banner fits well.
const LONGEST: usize = 64 * 1024;

/// What a front is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Orders {
    /// The main process's socket.
    pub(crate) main: PathBuf,
    /// Where the host key came from, for messages.
    pub(crate) host_key: PathBuf,
    pub(crate) passwords: bool,
    pub(crate) banner: Option<String>,
    pub(crate) max_attempts: usize,
    pub(crate) max_unauthenticated: usize,
    pub(crate) max_unauthenticated_per_address: usize,
    pub(crate) login_seconds: u64,
}

impl Orders {
    /// In the terms of the SSH server.
    pub(super) fn settings(&self) -> Settings {
        let limits = Limits {
            max_attempts: self.max_attempts,
            max_unauthenticated: self.max_unauthenticated,
            max_unauthenticated_per_peer: self.max_unauthenticated_per_address,
            login_time: Duration::from_secs(self.login_seconds),
            ..Limits::default()
        };
        Settings { limits, banner: self.banner.clone(), passwords: self.passwords }
    }
}

/// Sends `orders`, the listening socket and the host key.
pub(super) fn send(to: &UnixStream, orders: &Orders, listener: &TcpListener, key: &File) -> io::Result<()> {
    let text = serde_json::to_vec(orders)?;
    let files = [listener.as_fd(), key.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if text.len() > LONGEST || !ancillary.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the orders are too long; shorten the banner"));
    }
    let sent = sendmsg(to, &[IoSlice::new(&text)], &mut ancillary, SendFlags::empty())?;
    if sent == text.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Receives what [`send`] sent.
pub(super) fn receive(from: &UnixStream) -> io::Result<(Orders, TcpListener, File)> {
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "this is not started by hand; run `limosad serve`");
    let mut text = vec![0; LONGEST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(from, &mut [IoSliceMut::new(&mut text)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let files: Vec<OwnedFd> = ancillary
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => Some(files),
            _ => None,
        })
        .flatten()
        .collect();
    let [listener, key] = <[OwnedFd; 2]>::try_from(files).map_err(|_| malformed())?;
    let orders = serde_json::from_slice(text.get(..received.bytes).unwrap_or_default())?;
    Ok((orders, TcpListener::from(listener), File::from(key)))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn orders_and_open_files_cross_a_socket() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("key"), "secret").unwrap();
        let key = File::open(directory.path().join("key")).unwrap();
        let orders = Orders {
            main: "/run/x".into(),
            host_key: "/var/key".into(),
            passwords: false,
            banner: Some("Hello\n".into()),
            max_attempts: 3,
            max_unauthenticated: 5,
            max_unauthenticated_per_address: 2,
            login_seconds: 9,
        };
        send(&ours, &orders, &listener, &key).unwrap();
        let (told, handed, mut file) = receive(&theirs).unwrap();
        assert_eq!(handed.local_addr().unwrap(), listener.local_addr().unwrap());
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), told.banner.as_deref()), ("secret", Some("Hello\n")));
        let settings = told.settings();
        assert_eq!((settings.limits.login_time, settings.passwords), (Duration::from_secs(9), false));
    }

    #[test]
    fn a_front_started_by_hand_says_so() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(ours);
        assert!(receive(&theirs).unwrap_err().to_string().contains("limosad serve"));
    }
}
