//! Implementations of `StableStorage` (the placement half) and `VolatileStorage`.

mod disk;
mod encode;
mod memory_of_others;
mod mirror;
mod volatile_memory_of_self;

pub use disk::Disk;
pub use memory_of_others::MemoryOfOthers;
pub use volatile_memory_of_self::VolatileMemoryOfSelf;
