//! What the protocol core allocates once it runs: nothing for a datagram.

use limosa_bench::protocol::Core;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// Datagrams until every buffer is as long as it gets, and those counted.
const WARM: u64 = 200_000;
const COUNTED: u64 = 200_000;

/// Allocations for `COUNTED` datagrams of a session that is under way and
/// loses each `lost`-th.
fn allocations(lost: u64) -> u64 {
    let mut core = Core::new(lost);
    core.carry(WARM);
    let before = dhat::HeapStats::get().total_blocks;
    core.carry(COUNTED);
    dhat::HeapStats::get().total_blocks - before
}

#[test]
fn a_datagram_costs_no_allocation() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let clean = allocations(0);
    assert_eq!(clean, 0, "{clean} allocations for {COUNTED} datagrams on a clean line");
    let lossy = allocations(100);
    println!("{lossy} allocations for {COUNTED} datagrams with 1 % lost");
    assert!(lossy < COUNTED / 500, "{lossy} allocations for {COUNTED} datagrams with 1 % lost");
}
