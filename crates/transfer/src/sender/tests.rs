//! Tests of the sending engine against the store in memory.
