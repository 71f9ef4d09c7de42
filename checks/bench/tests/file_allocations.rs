//! What a whole transfer allocates once it runs, from file to file: something for
//! a block of 1 MiB, nothing for a datagram.

use std::{fs, io};

use limosa_bench::pipeline::Pipeline;
use limosa_bench::scratch::{Scratch, write_noise};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const MIB: u64 = 1 << 20;
/// Bytes until every buffer is as long as it gets, and those counted.
const WARM: u64 = 64 * MIB;
const COUNTED: u64 = 64 * MIB;
/// Each so many-th datagram lost (0: none), and the allocations for 1 MiB, which
/// is 750 datagrams, when last reviewed.
const REVIEWED: [(u64, f64); 2] = [(0, 13.0), (100, 17.0)];

/// Allocations of both ends together for 1 MiB of a transfer that is under way.
fn allocations(lost: u64) -> io::Result<f64> {
    let scratch = Scratch::below(env!("CARGO_TARGET_TMPDIR").as_ref(), &format!("allocations-{lost}"))?;
    write_noise(&scratch.path("source"), WARM + COUNTED + 16 * MIB)?;
    fs::create_dir(scratch.path("in"))?;
    let mut pipeline = Pipeline::new(&scratch.path(""), lost)?;
    assert!(!pipeline.carry(WARM)?);
    let before = dhat::HeapStats::get().total_blocks;
    assert!(!pipeline.carry(WARM + COUNTED)?);
    let counted = dhat::HeapStats::get().total_blocks - before;
    assert!(pipeline.carry(u64::MAX)?, "the transfer ends");
    Ok(counted as f64 / (COUNTED / MIB) as f64)
}

#[test]
fn a_transfer_allocates_for_blocks_and_not_for_datagrams() {
    let _profiler = dhat::Profiler::builder().testing().build();
    for (lost, reviewed) in REVIEWED {
        let each = allocations(lost).unwrap();
        println!("each {lost}-th lost: {each:.1} allocations for 1 MiB");
        assert!(
            each <= reviewed,
            "each {lost}-th lost: {each:.1} allocations for 1 MiB, {reviewed} when last reviewed"
        );
    }
}
