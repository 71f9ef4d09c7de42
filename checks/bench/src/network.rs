//! Where the two ends of a run stand: on loopback, or in two network
//! namespaces joined by a pair of virtual network cards.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::thread;

use rustix::fd::AsFd;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::scratch::check;

/// An end's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its network namespace, if it has one.
    pub namespace: Option<String>,
    /// Its address there.
    pub address: IpAddr,
}

impl Place {
    /// This machine's own.
    #[must_use]
    pub const fn loopback() -> Self {
        Self { namespace: None, address: IpAddr::V4(Ipv4Addr::LOCALHOST) }
    }

    /// A command that runs `program` there.
    #[must_use]
    pub fn command(&self, program: &std::path::Path) -> Command {
        let Some(namespace) = &self.namespace else { return Command::new(program) };
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).arg(program);
        command
    }

    /// Does something there, on a thread of its own. What it opens stays there.
    ///
    /// # Errors
    /// If the namespace cannot be entered, or whatever `work` has.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        let enter = || match &self.namespace {
            Some(namespace) => {
                let namespace = File::open(format!("/run/netns/{namespace}"))?;
                Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
            }
            None => Ok(()),
        };
        thread::scope(|scope| {
            let there = scope.spawn(|| enter().and_then(|()| work()));
            there.join().map_err(|_| io::Error::other("panicked in a namespace"))?
        })
    }
}

/// Two namespaces that see each other; they go when this does.
#[derive(Debug)]
pub struct Pair {
    /// The two ends.
    pub places: [Place; 2],
}

impl Pair {
    /// Joins two new namespaces by cards that take packets of `mtu` bytes.
    ///
    /// # Errors
    /// Without root, or without the `ip` program.
    pub fn make(mtu: usize) -> io::Result<Self> {
        let ip = |words: &str| check(Command::new("ip").args(words.split(' ')));
        let process = std::process::id();
        let place = |end: u8| Place {
            namespace: Some(format!("limosa-{process}-{end}")),
            address: Ipv4Addr::new(10, 213, 7, end).into(),
        };
        let pair = Self { places: [place(1), place(2)] };
        for Place { namespace, .. } in &pair.places {
            ip(&format!("netns add {}", namespace.as_deref().unwrap_or_default()))?;
        }
        let [one, two] = pair.places.each_ref().map(|place| place.namespace.as_deref().unwrap_or_default());
        ip(&format!("link add card0 mtu {mtu} netns {one} type veth peer name card0 mtu {mtu} netns {two}"))?;
        for Place { namespace, address } in &pair.places {
            let namespace = namespace.as_deref().unwrap_or_default();
            ip(&format!("-n {namespace} address add {address}/24 dev card0"))?;
            ip(&format!("-n {namespace} link set card0 up"))?;
            ip(&format!("-n {namespace} link set lo up"))?;
        }
        Ok(pair)
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for place in &self.places {
            let namespace = place.namespace.as_deref().unwrap_or_default();
            let _ = Command::new("ip").args(["netns", "delete", namespace]).status();
        }
    }
}
