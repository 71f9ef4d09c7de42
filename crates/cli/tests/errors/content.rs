//! 6xx: content that is not what it should be.

use limosa_wire::Code;

use crate::case::Case;

pub const CASES: &[Case] = &[
    Case::test(
        Code::CONTENT_MISMATCH,
        "crates/transfer/tests/receiver/failures.rs",
        "wrong_chunks_are_asked_for_again_at_most_three_times",
        "what arrives differs from its digest, four times in a row",
    ),
    Case::test(
        Code::LAYOUT_MISMATCH,
        "crates/transfer/tests/receiver/failures.rs",
        "layouts_that_break_a_rule_end_the_session",
        "the end of a layout counts other entries than there were",
    ),
];
