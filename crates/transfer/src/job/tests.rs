//! The code of a whole job. Jobs as such run in the simulator.

use limosa_wire::Code;

use super::verdict::Tally;
use crate::Failure;

fn code(failures: &[Code], settled: u64) -> Code {
    let mut tally = Tally::default();
    for code in failures {
        tally.note(&Failure::new(*code));
    }
    tally.code(settled, failures.len() as u64)
}

#[test]
fn one_reason_for_everything_is_the_reason() {
    assert_eq!(code(&[], 3), Code::OK);
    assert_eq!(code(&[Code::NOT_FOUND], 0), Code::NOT_FOUND);
    assert_eq!(code(&[Code::NO_SPACE, Code::NO_SPACE], 0), Code::NO_SPACE);
    assert_eq!(code(&[Code::NO_SPACE, Code::NOT_FOUND], 0), Code::SOME_FAILED);
    assert_eq!(code(&[Code::NOT_FOUND], 5), Code::SOME_FAILED);
}

#[test]
fn wrong_content_outweighs_everything() {
    assert_eq!(code(&[Code::NOT_FOUND, Code::CONTENT_MISMATCH], 5), Code::CONTENT_MISMATCH);
}

#[test]
fn failures_that_only_the_other_end_knows_count() {
    assert_eq!(Tally::default().code(5, 1), Code::SOME_FAILED);
}
