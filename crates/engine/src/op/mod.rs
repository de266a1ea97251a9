//! One file an operation: its request, its answer, what it needs, and how it is answered.

mod disk_add;
mod disk_change;
mod disk_list;
mod doctor;
mod guest_clone;
mod guest_create;
mod guest_delete;
mod guest_info;
mod guest_list;
mod guest_move;
mod guest_promote;
mod guest_rename;
mod guest_reset;
mod guest_set;
mod guest_undelete;
mod host_set;
mod image_info;
mod image_list;
mod network_check;
mod network_list;
mod pool_change;
mod pool_init;
mod pool_list;
mod setting_get;
mod snapshot_create;
mod snapshot_delete;
mod snapshot_list;
mod snapshot_rollback;
mod trash_list;

pub use disk_add::{DiskAdd, DiskAdded, DiskAddedWord, DiskFrom};
pub use disk_change::{DiskChange, DiskChangeKind, DiskChanged, DiskWord};
pub use disk_list::{Disk, DiskList, DiskState};
pub use doctor::{Doctor, Finding, Severity, catalogue_age};
pub use guest_clone::{Cloned, ClonedWord, GuestClone};
pub use guest_create::{Created, CreatedWord, Document, GuestCreate};
pub use guest_delete::{Deleted, DeletedWord, GuestDelete};
pub use guest_info::{Backend, Confined, Drive, GuestDisk, GuestFacts, GuestInfo, Loopback, LoopbackState, Nic, NicAddress, Run};
pub use guest_list::{FACTS, GuestList, GuestRow, column};
pub use guest_move::{GuestMove, Moved, MovedWord};
pub use guest_promote::{GuestPromote, Promoted, PromotedWord};
pub use guest_rename::{GuestRename, Renamed, RenamedWord};
pub use guest_reset::{GuestReset, ResetWord, WasReset};
pub use guest_set::{Changed, ChangedWord, GuestSet};
pub use guest_undelete::{GuestUndelete, Undeleted, UndeletedWord};
pub use host_set::{HostChanged, HostSet, HostSettings};
pub use image_info::{ImageFacts, ImageInfo};
pub use image_list::{Image, ImageList};
pub use network_check::{Difference, NetworkCheck};
pub use network_list::{Bridge, BridgeState, BridgeType, Made, Member, NetworkList};
pub use pool_change::{PoolChange, PoolChanged, PoolChangedWord, RoleChange};
pub use pool_init::{PoolInit, PoolMade, PoolMadeWord};
pub use pool_list::{Owner, Pool, PoolList};
pub use setting_get::{Holder, Setting, SettingGet, Source};
pub use snapshot_create::{SnapshotCreate, Take, Taken, TakenWord};
pub use snapshot_delete::{Doom, Gone, GoneWord, SnapshotDelete};
pub use snapshot_list::{Snapshot, SnapshotList};
pub use snapshot_rollback::{RolledBack, RolledBackWord, SnapshotRollback};
pub use trash_list::{TrashList, Trashed, TrashedKind};

use crate::schema::Entry;

/// All operations, in alphabetical order.
pub(crate) const ALL: &[Entry] = &[
    Entry::of::<DiskAdd>(),
    Entry::of::<DiskChange>(),
    Entry::of::<DiskList>(),
    Entry::of::<Doctor>(),
    Entry::of::<GuestClone>(),
    Entry::of::<GuestCreate>(),
    Entry::of::<GuestDelete>(),
    Entry::of::<GuestInfo>(),
    Entry::of::<GuestList>(),
    Entry::of::<GuestMove>(),
    Entry::of::<GuestPromote>(),
    Entry::of::<GuestRename>(),
    Entry::of::<GuestReset>(),
    Entry::of::<GuestSet>(),
    Entry::of::<GuestUndelete>(),
    Entry::of::<HostSet>(),
    Entry::of::<ImageInfo>(),
    Entry::of::<ImageList>(),
    Entry::of::<NetworkCheck>(),
    Entry::of::<NetworkList>(),
    Entry::of::<PoolChange>(),
    Entry::of::<PoolInit>(),
    Entry::of::<PoolList>(),
    Entry::of::<SettingGet>(),
    Entry::of::<SnapshotCreate>(),
    Entry::of::<SnapshotDelete>(),
    Entry::of::<SnapshotList>(),
    Entry::of::<SnapshotRollback>(),
    Entry::of::<TrashList>(),
];
