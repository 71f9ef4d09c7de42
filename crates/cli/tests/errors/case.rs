//! What a case is.

use limosa_wire::Code;

use crate::said::Form;
use crate::scene::Scene;
use crate::support::client::Finished;

/// A code, and what provokes it.
#[derive(Debug)]
pub struct Case {
    pub code: Code,
    pub by: Provocation,
}

/// What provokes a code.
#[derive(Debug)]
pub enum Provocation {
    /// A command.
    Command {
        /// As a person types it. `HOST` and `PORT` are filled in; other names
        /// in capitals are there under these names.
        typed: &'static str,
        /// What else must be so, for people.
        when: &'static str,
        /// Makes it so and runs the command; `None` if something is missing on
        /// this machine, which was reported.
        play: fn(&mut Scene) -> Option<Finished>,
    },
    /// No command does; this test of a crate does.
    Test {
        /// The file, from the root of the repository.
        file: &'static str,
        /// The test's name.
        name: &'static str,
        /// What the test does, for people.
        when: &'static str,
    },
}

impl Case {
    /// A code and the command that provokes it.
    pub const fn command(
        code: Code,
        typed: &'static str,
        when: &'static str,
        play: fn(&mut Scene) -> Option<Finished>,
    ) -> Self {
        Self { code, by: Provocation::Command { typed, when, play } }
    }

    /// A code and the test that provokes it.
    pub const fn test(code: Code, file: &'static str, name: &'static str, when: &'static str) -> Self {
        Self { code, by: Provocation::Test { file, name, when } }
    }

    /// Whether it is played in this form: only the client speaks JSON.
    pub fn speaks(&self, form: Form) -> bool {
        match self.by {
            Provocation::Command { typed, .. } => form == Form::Text || typed.starts_with("limosa "),
            _ => false,
        }
    }

    /// Whether it waits for a time limit.
    pub fn is_slow(&self) -> bool {
        self.code == Code::CONNECT_TIMEOUT
            || self.code == Code::OPEN_TIMEOUT
            || (210..230).contains(&self.code.number())
    }
}
