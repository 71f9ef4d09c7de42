//! Lines as short text, for command lines and tables.

use std::str::FromStr;
use std::time::Duration;

use limosa_wire::Rate;

use super::LineSettings;
use crate::link::{Bucket, Bursts, Discipline, Jitter, LinkSettings, ManagedQueue, Queue, Reordering, Stalls};

/// Why text does not describe a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLine {
    /// Not at least a rate and a round trip.
    #[error("`{0}` is not a line: write RATE,RTT[,LOSS][,KEY=VALUE]…, such as 1gbit,100ms,1%")]
    Form(String),
    /// A part that is not what it should be.
    #[error("`{part}` is not {expected}")]
    Part {
        /// The part.
        part: String,
        /// What it should have been.
        expected: &'static str,
    },
    /// A key that does not exist.
    #[error("`{0}` is not a property of a line")]
    Key(String),
}

impl FromStr for LineSettings {
    type Err = InvalidLine;

    fn from_str(text: &str) -> Result<Self, InvalidLine> {
        let mut parts = text.split(',').map(str::trim);
        let form = || InvalidLine::Form(text.to_owned());
        let rate = rate(parts.next().ok_or_else(form)?)?;
        let rtt = parse_time(parts.next().ok_or_else(form)?)?;
        let mut line = Self::new(rate, rtt);
        for part in parts {
            match part.split_once('=') {
                Some((key, value)) => set(&mut line, key, value)?,
                None => line = line.with_loss(share(part)?),
            }
        }
        Ok(line)
    }
}

fn set(line: &mut LineSettings, key: &str, value: &str) -> Result<(), InvalidLine> {
    match key {
        "queue" => line.forward.queue = queue(value, line)?,
        "loss" => line.forward.loss = share(value)?,
        "backloss" => line.reverse.loss = share(value)?,
        "back" => line.reverse.rate = rate(value)?,
        "aqm" => line.forward.managed = Some(managed(value)?),
        "bucket" => {
            let (depth, peak) = pair(value, "BYTES:RATE")?;
            line.forward.bucket = Some(Bucket { depth: number(depth)? as u64, peak: rate(peak)? });
        }
        _ => {
            let setting = fault(key, value)?;
            setting(&mut line.forward);
            setting(&mut line.reverse);
        }
    }
    Ok(())
}

type Setting = Box<dyn Fn(&mut LinkSettings)>;

/// A setting that holds in both directions.
fn fault(key: &str, value: &str) -> Result<Setting, InvalidLine> {
    Ok(match key {
        "bursts" => {
            let (loss, mean) = pair(value, "LOSS:MEAN")?;
            let bursts = Bursts::of(number(mean)?, share(loss)?);
            Box::new(move |link| link.bursts = Some(bursts))
        }
        "jitter" => {
            let mean = parse_time(value)?;
            Box::new(move |link| link.jitter = Some(Jitter::PerPacket(mean)))
        }
        "drift" => {
            let (amplitude, period) = (parse_time(value)?, Duration::from_millis(20));
            Box::new(move |link| link.jitter = Some(Jitter::Smooth { amplitude, period }))
        }
        "bunches" => {
            let apart = parse_time(value)?;
            Box::new(move |link| link.bunching = Some(apart))
        }
        "stalls" => {
            let (part, length) = pair(value, "SHARE:TIME")?;
            let mean = parse_time(length)?;
            if mean < Duration::from_micros(1) {
                return Err(wrong(length, "a time from 1us on"));
            }
            let stalls = Stalls::of(share(part)?, mean);
            Box::new(move |link| link.stalls = Some(stalls))
        }
        "reorder" => {
            let (at, by) = pair(value, "SHARE:TIME")?;
            let reordering = Reordering { share: share(at)?, by: parse_time(by)? };
            Box::new(move |link| link.reordering = Some(reordering))
        }
        "dup" => {
            let share = share(value)?;
            Box::new(move |link| link.duplication = share)
        }
        "corrupt" => {
            let share = share(value)?;
            Box::new(move |link| link.corruption = share)
        }
        "mtu" => {
            let mtu = number(value)? as u32;
            Box::new(move |link| link.mtu = mtu)
        }
        _ => return Err(InvalidLine::Key(key.to_owned())),
    })
}

fn managed(value: &str) -> Result<ManagedQueue, InvalidLine> {
    let (name, target) = pair(value, "DISCIPLINE:TARGET")?;
    let (name, marks) = name.strip_suffix("-ecn").map_or((name, false), |name| (name, true));
    let discipline = match name {
        "codel" => Discipline::CoDel,
        "pie" => Discipline::Pie,
        _ => return Err(wrong(name, "codel, pie, codel-ecn or pie-ecn")),
    };
    Ok(ManagedQueue { discipline, target: parse_time(target)?, marks })
}

fn wrong(part: &str, expected: &'static str) -> InvalidLine {
    InvalidLine::Part { part: part.to_owned(), expected }
}

fn pair<'a>(text: &'a str, expected: &'static str) -> Result<(&'a str, &'a str), InvalidLine> {
    text.split_once(':').ok_or_else(|| wrong(text, expected))
}

fn number(text: &str) -> Result<f64, InvalidLine> {
    let number = text.trim().parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
    number.ok_or_else(|| wrong(text, "a number"))
}

fn rate(text: &str) -> Result<Rate, InvalidLine> {
    text.parse().map_err(|_| wrong(text, "a rate, such as 300mbit"))
}

/// Reads a time: `300us`, `100ms`, `1.5s`.
///
/// # Errors
/// If it is none.
pub fn parse_time(text: &str) -> Result<Duration, InvalidLine> {
    let units = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0)];
    let found = units.iter().find_map(|(unit, scale)| Some((text.strip_suffix(unit)?, scale)));
    let (digits, scale) = found.ok_or_else(|| wrong(text, "a time, such as 100ms"))?;
    let seconds = number(digits)? * scale;
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong(text, "a time, such as 100ms"))
}

/// A share: `1%` or `0.01`.
fn share(text: &str) -> Result<f64, InvalidLine> {
    let value = match text.strip_suffix('%') {
        Some(percent) => number(percent)? / 100.0,
        None => number(text)?,
    };
    if value <= 1.0 { Ok(value) } else { Err(wrong(text, "a share, such as 1%")) }
}

/// A queue: a time, `4bdp`, or `12000b`.
fn queue(text: &str, line: &LineSettings) -> Result<Queue, InvalidLine> {
    if let Some(times) = text.strip_suffix("bdp") {
        return Ok(Queue::Time(line.rtt().mul_f64(number(times)?)));
    }
    match text.strip_suffix('b') {
        Some(bytes) => Ok(Queue::Bytes(number(bytes)? as u64)),
        None => Ok(Queue::Time(parse_time(text)?)),
    }
}
