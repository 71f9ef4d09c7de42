//! The engine against a store, driven by hand.
