//! A store in memory, for tests of what is built on the contract.
//!
//! It holds itself to the contract as the local disk does, links and their
//! confinement, holes and locks included, and is deterministic: its clock
//! counts changes. Rights are kept and reported, but not enforced; nothing
//! outlives the store.

mod file;
mod node;
mod store;

pub use store::MemoryStore;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;

    #[test]
    fn conforms() {
        conformance::check_all(&MemoryStore::new());
    }
}
