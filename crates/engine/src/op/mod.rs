//! One file an operation: its request, its answer, what it needs, and how it is answered.

mod disk_list;
mod doctor;
mod guest_info;
mod guest_list;
mod image_info;
mod image_list;
mod network_check;
mod network_list;
mod pool_list;
mod setting_get;
mod snapshot_list;
mod trash_list;

pub use disk_list::{Disk, DiskList, DiskState};
pub use doctor::{Doctor, Finding, Severity, catalogue_age};
pub use guest_info::{Backend, Confined, Drive, GuestDisk, GuestFacts, GuestInfo, Loopback, LoopbackState, Nic, NicAddress, Run};
pub use guest_list::{FACTS, GuestList, GuestRow, column};
pub use image_info::{ImageFacts, ImageInfo};
pub use image_list::{Image, ImageList};
pub use network_check::{Difference, NetworkCheck};
pub use network_list::{Bridge, BridgeState, BridgeType, Made, Member, NetworkList};
pub use pool_list::{Owner, Pool, PoolList};
pub use setting_get::{Holder, Setting, SettingGet, Source};
pub use snapshot_list::{Snapshot, SnapshotList};
pub use trash_list::{TrashList, Trashed, TrashedKind};

use crate::schema::Entry;

/// All operations, in alphabetical order.
pub(crate) const ALL: &[Entry] = &[
    Entry::of::<DiskList>(),
    Entry::of::<Doctor>(),
    Entry::of::<GuestInfo>(),
    Entry::of::<GuestList>(),
    Entry::of::<ImageInfo>(),
    Entry::of::<ImageList>(),
    Entry::of::<NetworkCheck>(),
    Entry::of::<NetworkList>(),
    Entry::of::<PoolList>(),
    Entry::of::<SettingGet>(),
    Entry::of::<SnapshotList>(),
    Entry::of::<TrashList>(),
];
