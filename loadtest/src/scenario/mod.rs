//! What can be run: one file per scenario.

pub(crate) mod rush;
