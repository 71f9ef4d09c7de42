//! Every numbered code: the command that provokes it, run with the real
//! programs, and what they say then.
//!
//! Each module holds the cases of a range of codes. [`case`] says what a case
//! is, [`scene`] sets one up, [`said`] checks what it said, and [`document`]
//! compares the table with the one in `docs/ERRORS.md`. After a change of the
//! cases: `LIMOSA_UPDATE_DOCUMENTS=1 cargo test -p limosa-cli --test errors`.
#![allow(clippy::unwrap_used, clippy::panic)] // a test's surroundings fail it
#![allow(unreachable_pub)] // a test is one program, and its modules share all they have

mod case;
mod document;
mod named;
mod said;
mod scene;
#[path = "../support/mod.rs"]
mod support;

mod authentication;
mod content;
mod ends;
mod files;
mod network;
mod own;
mod peer;
mod policy;
mod usage;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::Instant;

use case::{Case, Provocation};
use limosa_wire::Code;
use said::Form;
use scene::Scene;

/// The table, by the first digit of the code.
const CASES: [&[Case]; 9] = [
    ends::CASES,
    usage::CASES,
    network::CASES,
    authentication::CASES,
    policy::CASES,
    files::CASES,
    content::CASES,
    peer::CASES,
    own::CASES,
];

/// Cases played at a time: most of them wait most of the time.
const AT_A_TIME: usize = 12;

fn cases() -> impl Iterator<Item = &'static Case> {
    CASES.into_iter().flatten()
}

#[test]
fn every_code_has_its_case() {
    let listed: Vec<_> = cases().map(|case| case.code).collect();
    assert_eq!(listed, Code::ALL, "a case for each code, in their order");
}

#[test]
fn every_command_ends_as_the_table_says() {
    // Most scenes have one of them.
    if let Some(missing) = ["sshd", "ssh", "ssh-keygen"].into_iter().find(|program| support::find(program).is_none()) {
        return support::skip(missing);
    }
    let both = |case: &'static Case| [(case, Form::Text), (case, Form::Json)];
    let mut plays: Vec<_> = cases().flat_map(both).filter(|(case, form)| case.speaks(*form)).collect();
    // From the end are taken those that take longest.
    plays.sort_by_key(|(case, _)| case.is_slow());
    let plays = Mutex::new(plays);
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some((case, form)) = { plays.lock().unwrap().pop() } {
                    let began = Instant::now();
                    let played = catch_unwind(AssertUnwindSafe(|| play(case, form)));
                    println!("{} {form:?}: {:.1?}", case.code.number(), began.elapsed());
                    if let Err(panic) = played {
                        wrong.lock().unwrap().push(format!("{:?} {form:?}: {}", case.code, text_of(&*panic)));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn play(case: &Case, form: Form) {
    let Provocation::Command { typed, play, .. } = case.by else { return };
    let mut scene = Scene::new(typed, form);
    // A scene without its surroundings has reported what is missing.
    if let Some(finished) = play(&mut scene) {
        said::check(case.code, typed, form, &finished);
    }
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a word")
}
