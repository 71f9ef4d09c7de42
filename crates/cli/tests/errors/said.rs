//! What a program must say of a code.

use limosa_wire::Code;
use serde_json::Value;

use crate::support::client::Finished;

/// How results are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Text,
    Json,
}

/// Checks exit status and last words.
pub fn check(code: Code, typed: &str, form: Form, finished: &Finished) {
    assert_eq!(finished.exit(), Some(code.exit_status().into()), "exit status of {code:?}: {finished}");
    match form {
        Form::Text if typed.contains("limosad") => check_server(code, finished),
        Form::Text => check_text(code, finished),
        Form::Json => check_summary(code, finished),
    }
}

/// Summary and number in one line, advice in the next: the last two.
fn check_text(code: Code, finished: &Finished) {
    let lines: Vec<_> = finished.errors.lines().collect();
    let said: Vec<_> = lines.iter().filter(|line| line.starts_with("limosa: ")).collect();
    if code == Code::OK {
        assert!(said.is_empty(), "{finished}");
        return;
    }
    let [.., told, advice] = lines.as_slice() else { panic!("a line and advice: {finished}") };
    assert_eq!(said, [told], "one last word: {finished}");
    assert!(told.starts_with(&format!("limosa: {}", code.summary())), "{finished}");
    assert!(told.ends_with(&format!(" [{}]", code.number())), "{finished}");
    assert_eq!(advice.trim(), code.advice(), "{finished}");
}

/// What happened is said by the server's programs in their own words.
fn check_server(code: Code, finished: &Finished) {
    let last = finished.errors.lines().last().unwrap_or_default();
    assert!(last.starts_with("limosad: ") && last.ends_with(&format!("(code {})", code.number())), "{finished}");
}

fn check_summary(code: Code, finished: &Finished) {
    assert_eq!(finished.errors, "", "all is told on standard output: {finished}");
    let summary = finished.summary();
    let expected: [(&str, Value); 6] = [
        ("code", code.number().into()),
        ("name", code.name().into()),
        ("summary", code.summary().into()),
        ("advice", code.advice().into()),
        ("exit", code.exit_status().into()),
        ("retry", code.may_retry().into()),
    ];
    for (field, value) in expected {
        assert_eq!(summary[field], value, "{field}: {finished}");
    }
}
