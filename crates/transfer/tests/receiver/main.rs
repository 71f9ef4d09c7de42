//! The receiving engine against a store in memory and a hand-made sender, in
//! orders drawn from seeds.

mod bounds;
mod disk;
mod drive;
mod failures;
mod landing;
mod resume;
mod source;

mod trees;
