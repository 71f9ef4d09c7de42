//! The receiving engine against a store in memory and a hand-made sender, in
//! orders drawn from seeds.

mod drive;
mod source;

mod trees;
