//! What the example `sharing` is asked for on its command line.

use std::path::PathBuf;

use super::Segments;
use crate::flow::Kind;

/// Who starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// The flow that is asked what it is left.
    Rival,
    /// The one beside it.
    Other,
}

/// Which flows share which lines, and how often.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The lines, in the simulator's words.
    pub lines: Vec<String>,
    /// Who is asked what it is left.
    pub laws: Vec<Kind>,
    /// Who is beside it.
    pub beside: Vec<Kind>,
    /// In which orders they start.
    pub first: Vec<First>,
    /// How long a run takes.
    pub seconds: u32,
    /// How often each is repeated.
    pub runs: usize,
    /// How TCP hands its packets over.
    pub segments: Segments,
    /// A file to send, if there is one.
    pub source: Option<PathBuf>,
    /// The program, if it is not the one beside the example.
    pub limosa: Option<PathBuf>,
}

impl Settings {
    /// Reads the words of a command line.
    ///
    /// # Errors
    /// What is wrong with them, for the user.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut settings = Self {
            lines: Vec::new(),
            laws: kinds("cubic,bbr")?,
            beside: kinds("fair,cubic,bbr")?,
            first: vec![First::Rival, First::Other],
            seconds: 120,
            runs: 3,
            segments: Segments::Offloaded,
            source: None,
            limosa: None,
        };
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("{word} wants a value"))?;
            settings.set(&word, value)?;
        }
        if settings.lines.is_empty() {
            settings.lines.push("200mbit,50ms,queue=1bdp".into());
        }
        Ok(settings)
    }

    fn set(&mut self, word: &str, value: String) -> Result<(), String> {
        let wrong = || format!("{word} {value} is not known; see the head of sharing.rs");
        match (word, value.as_str()) {
            ("--line", _) => self.lines.push(value),
            ("--laws", _) => self.laws = kinds(&value)?,
            ("--beside", _) => self.beside = kinds(&value)?,
            ("--first", "rival") => self.first = vec![First::Rival],
            ("--first", "other") => self.first = vec![First::Other],
            ("--first", "both") => self.first = vec![First::Rival, First::Other],
            ("--seconds", _) => self.seconds = value.parse().map_err(|_| wrong())?,
            ("--runs", _) => self.runs = value.parse().map_err(|_| wrong())?,
            ("--segments", "offloaded") => self.segments = Segments::Offloaded,
            ("--segments", "single") => self.segments = Segments::Single,
            ("--source", _) => self.source = Some(value.into()),
            ("--limosa", _) => self.limosa = Some(value.into()),
            _ => return Err(wrong()),
        }
        Ok(())
    }

    /// Who shares a line with `law`, the `index`-th, and who starts. Two laws are
    /// asked once, in the turn of the first, and two flows alike have one order.
    pub fn pairs(&self, index: usize) -> impl Iterator<Item = (&Kind, First)> {
        let (law, before) = (&self.laws[index], &self.laws[..index]);
        let others = self.beside.iter().filter(move |other| !before.contains(other));
        let orders = |other| self.first.iter().map(move |first| (other, *first));
        others.flat_map(orders).filter(move |(other, first)| *other != law || *first == First::Rival)
    }
}

fn kinds(text: &str) -> Result<Vec<Kind>, String> {
    text.split(',').map(str::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<Settings, String> {
        Settings::parse(words.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn what_is_not_said_is_as_usual() {
        let settings = parse("--line 100mbit,10ms --line 1gbit,20ms --beside low --runs 5 --first other").unwrap();
        let expected = Settings {
            lines: vec!["100mbit,10ms".into(), "1gbit,20ms".into()],
            beside: vec![Kind::Limosa("low")],
            runs: 5,
            first: vec![First::Other],
            ..parse("").unwrap()
        };
        assert_eq!(settings, expected);
        assert_eq!((settings.seconds, settings.segments), (120, Segments::Offloaded));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for words in ["--runs", "--runs many", "--first both,other", "--segments 1", "--beside ,", "line 1gbit,1ms"] {
            assert!(parse(words).is_err(), "{words}");
        }
    }

    #[test]
    fn no_pair_is_asked_twice() {
        let settings = parse("--laws cubic,bbr --beside fair,cubic,bbr").unwrap();
        let pairs = |index| settings.pairs(index).map(|(other, first)| (other.to_string(), first)).collect::<Vec<_>>();
        let pair = |name: &str, first| (name.to_owned(), first);
        let fair = [First::Rival, First::Other].map(|first| pair("fair", first));
        let [one, two] = fair.clone();
        let bbr = [First::Rival, First::Other].map(|first| pair("bbr", first));
        let [three, four] = bbr;
        assert_eq!(pairs(0), [one, two, pair("cubic", First::Rival), three, four]);
        let [one, two] = fair;
        assert_eq!(pairs(1), [one, two, pair("bbr", First::Rival)]);
    }
}
