//! Where the two ends of a run stand: on loopback, or in two network
//! namespaces with virtual network cards or a whole line between them.

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use limosa_line::{Device, Emulator, Figures};
use limosa_sim::LineSettings;
use limosa_sim::random::Seed;
use limosa_sim::scenario::InvalidLine;
use rustix::fd::AsFd;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::netem::{self, Netem};
use crate::remains::Namespace;
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

/// What is between the two ends.
#[derive(Clone, Debug, PartialEq)]
pub enum Medium {
    /// Nothing: both ends are in one namespace.
    Loopback,
    /// A pair of virtual cards that take IP packets of so many bytes.
    Cards(usize),
    /// A line.
    Line(Box<LineSettings>),
}

impl FromStr for Medium {
    type Err = InvalidLine;

    /// Reads `loopback`, `veth-MTU`, or a line such as `1gbit,100ms,1%`.
    fn from_str(text: &str) -> Result<Self, InvalidLine> {
        match text.strip_prefix("veth-").map(str::parse) {
            Some(Ok(mtu)) => Ok(Self::Cards(mtu)),
            _ if text == "loopback" => Ok(Self::Loopback),
            _ => Ok(Self::Line(Box::new(text.parse()?))),
        }
    }
}

/// What makes a line; it goes when this does.
#[derive(Debug)]
enum Maker {
    Kernel { _bridges: Netem },
    Emulator(Emulator),
}

/// Two ends that see each other, in namespaces of their own; these go when this
/// does, with every process that is left in them.
#[derive(Debug)]
pub struct Pair {
    /// The two ends.
    pub places: [Place; 2],
    /// The namespaces.
    namespaces: Vec<Namespace>,
    line: Option<Maker>,
}

impl Pair {
    /// Joins two new namespaces by cards that take packets of `mtu` bytes.
    ///
    /// # Errors
    /// Without root, or without the `ip` program.
    pub fn make(mtu: usize) -> io::Result<Self> {
        let pair = Self::apart(2)?;
        let [one, two] = [0, 1].map(|end| pair.namespaces[end].name());
        ip(&format!("link add card0 mtu {mtu} netns {one} type veth peer name card0 mtu {mtu} netns {two}"))?;
        pair.switch_on()?;
        Ok(pair)
    }

    /// Puts a medium between two new ends. A line is made by the kernel's netem
    /// where it has that and the line needs nothing else, and otherwise by
    /// [`limosa_line`], with losses as `seed` says.
    ///
    /// # Errors
    /// Without root, `ip` or, for an emulated line, TUN devices.
    pub fn joined_by(medium: &Medium, seed: u64) -> io::Result<Self> {
        match medium {
            Medium::Loopback => Self::together(),
            Medium::Cards(mtu) => Self::make(*mtu),
            Medium::Line(line) if netem::can_make(line) => Self::over_netem(line),
            Medium::Line(line) => Self::over_emulator(line, seed),
        }
    }

    /// Both ends in one new namespace, on its loopback.
    fn together() -> io::Result<Self> {
        let mut pair = Self::apart(1)?;
        for place in &mut pair.places {
            place.address = Ipv4Addr::LOCALHOST.into();
        }
        ip(&format!("-n {} link set lo up", pair.namespaces[0].name()))?;
        Ok(pair)
    }

    /// Two ends with the emulator between them.
    ///
    /// # Errors
    /// Without root, `ip` or TUN devices.
    pub fn over_emulator(line: &LineSettings, seed: u64) -> io::Result<Self> {
        let mut pair = Self::apart(2)?;
        let make = |end: usize| pair.places[end].inside(|| Device::make("card0"));
        let devices = [make(0)?, make(1)?];
        for namespace in pair.namespaces.iter().map(Namespace::name) {
            // Room for what comes while the emulator does not look.
            ip(&format!("-n {namespace} link set card0 mtu {} txqueuelen 20000", line.forward.mtu))?;
            // Receiving is the work of a thread of the kernel's then, not of the
            // emulator's. Kernels before 5.12 have no such thread.
            let script = "echo 1 > /sys/class/net/card0/threaded";
            let _ = Command::new("ip").args(["netns", "exec", namespace, "sh", "-c", script]).status();
        }
        pair.switch_on()?;
        pair.line = Some(Maker::Emulator(Emulator::start(devices, line.clone(), Seed(seed))?));
        Ok(pair)
    }

    /// Two ends with two bridges between them, on which the kernel makes a line.
    fn over_netem(line: &LineSettings) -> io::Result<Self> {
        let mut pair = Self::apart(2)?;
        let netem = Netem::make([0, 1].map(|end| pair.namespaces[end].name()), line);
        pair.line = Some(Maker::Kernel { _bridges: netem? });
        pair.switch_on()?;
        Ok(pair)
    }

    /// The ends in so many new namespaces, with nothing between them.
    fn apart(count: usize) -> io::Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let (process, made) = (std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let name = |number: usize| format!("limosa-{process}-{made}-{number}");
        let place = |end: u8| Place {
            namespace: Some(name(usize::from(end).min(count))),
            address: Ipv4Addr::new(10, 213, 7, end).into(),
        };
        let mut pair = Self { places: [place(1), place(2)], namespaces: Vec::new(), line: None };
        for number in 1..=count {
            pair.namespaces.push(Namespace::make(&name(number))?);
        }
        Ok(pair)
    }

    /// Gives the cards their addresses and switches everything on.
    fn switch_on(&self) -> io::Result<()> {
        for Place { namespace, address } in &self.places {
            let namespace = namespace.as_deref().unwrap_or_default();
            // What the kernel says by itself over IPv6 would have random losses
            // strike others in every run.
            ip(&format!("-n {namespace} link set card0 addrgenmode none"))?;
            ip(&format!("-n {namespace} address add {address}/24 dev card0"))?;
            ip(&format!("-n {namespace} link set card0 up"))?;
            ip(&format!("-n {namespace} link set lo up"))?;
        }
        Ok(())
    }

    /// Has TCP use a law of congestion control between the ends, with buffers
    /// that a long line needs and without what it learnt from former flows.
    ///
    /// # Errors
    /// If the kernel has no such law.
    pub fn tune_tcp(&self, law: &str) -> io::Result<()> {
        for Place { namespace, address } in &self.places {
            let namespace = namespace.as_deref().unwrap_or_default();
            // By route: a namespace may otherwise choose only among the laws
            // that the whole machine permits to everybody.
            let route = match address.is_loopback() {
                true => format!("local {address} dev lo table local src {address}"),
                false => format!("10.213.7.0/24 dev card0 src {address}"),
            };
            ip(&format!("-n {namespace} route replace {route} congctl {law}"))?;
        }
        for place in &self.places {
            place.inside(|| {
                let set = |name: &str, value: &str| fs::write(format!("/proc/sys/net/ipv4/{name}"), value);
                set("tcp_rmem", "4096 131072 268435456")?;
                set("tcp_wmem", "4096 131072 268435456")?;
                set("tcp_no_metrics_save", "1")
            })?;
        }
        Ok(())
    }

    /// Has TCP hand its packets over one by one, as if it cut none of them out of
    /// a larger one: bursts are then those of its law alone.
    ///
    /// # Errors
    /// If `ip` fails.
    pub fn cut_packets_early(&self) -> io::Result<()> {
        let mut cards = self.namespaces.iter().map(Namespace::name);
        cards.try_for_each(|namespace| ip(&format!("-n {namespace} link set card0 gso_max_segs 1")))
    }

    /// What the emulator counted so far, forward and reverse; `None` where none
    /// is at work.
    #[must_use]
    pub fn figures(&self) -> Option<[Figures; 2]> {
        match &self.line {
            Some(Maker::Emulator(emulator)) => Some(emulator.figures()),
            _ => None,
        }
    }

    /// What makes the line, in a word or two.
    #[must_use]
    pub fn maker(&self) -> &'static str {
        match &self.line {
            Some(Maker::Kernel { .. }) => "netem",
            Some(Maker::Emulator(_)) => "emulator",
            None => "no line",
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.namespaces.iter().for_each(Namespace::end_processes);
        self.line = None;
    }
}

/// Runs the `ip` program.
///
/// # Errors
/// If it is not there or fails.
pub(crate) fn ip(words: &str) -> io::Result<()> {
    check(Command::new("ip").args(words.split(' ')))
}
