//! The receiving engine against a store in memory and a hand-made sender, in
//! orders drawn from seeds.

// What the tests share stands outside of test functions.
#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, clippy::single_range_in_vec_init)]

mod admission;
mod bounds;
mod disk;
mod drive;
mod failures;
mod landing;
mod resume;
mod source;
mod trees;
