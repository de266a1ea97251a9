//! One file an operation: its request, its answer, what it needs, and how it is answered.

mod catalogue_list;
mod catalogue_status;
mod catalogue_update;
mod clone_list;
mod cloud_init_set;
mod cloud_init_show;
mod console_open;
mod disk_add;
mod disk_change;
mod disk_list;
mod doctor;
mod drive_change;
mod firmware_reset;
mod guest_adopt;
mod guest_clone;
mod guest_create;
mod guest_delete;
mod guest_info;
mod guest_list;
mod guest_move;
mod guest_promote;
mod guest_receive;
mod guest_rename;
mod guest_reset;
mod guest_send;
mod guest_set;
mod guest_start;
mod guest_stop;
mod guest_undelete;
mod host_set;
mod image_delete;
mod image_import;
mod image_info;
mod image_list;
mod image_rename;
mod image_uses;
mod image_verify;
mod network_apply;
mod network_change;
mod network_check;
mod network_confirm;
mod network_list;
mod network_nat;
mod nic_change;
mod pool_change;
mod pool_init;
mod pool_list;
mod pool_remove;
mod pool_upgrade;
mod property_list;
mod reclaim;
mod repair;
mod setting_get;
mod snapshot_create;
mod snapshot_delete;
mod snapshot_diff;
mod snapshot_list;
mod snapshot_rollback;
mod trash_empty;
mod trash_list;

pub use catalogue_list::{CatalogueList, CatalogueRow};
pub use catalogue_status::{CatalogueFacts, CatalogueState, CatalogueStatus, PinnedKey};
pub use catalogue_update::{CatalogueChanged, CatalogueObject, CatalogueUpdate, CatalogueWord};
pub use clone_list::{CloneList, CloneRow};
pub use cloud_init_set::{CloudInitChanged, CloudInitReinit, CloudInitSet, CloudInitWord, Reinitialized, ReinitializedWord};
pub use cloud_init_show::{CloudInitShow, CloudInitState, CloudInitStatus};
pub use console_open::{ConsoleAt, ConsoleEnd, ConsoleOpen};
pub use disk_add::{DiskAdd, DiskAdded, DiskAddedWord, DiskFrom};
pub use disk_change::{DiskChange, DiskChangeKind, DiskChanged, DiskWord};
pub use disk_list::{Disk, DiskList, DiskState};
pub use doctor::{Doctor, Finding, Severity, catalogue_age};
pub use drive_change::{DriveChange, DriveChanged, DriveWord};
pub use firmware_reset::{FirmwareReset, FirmwareResetWord, FirmwareWasReset};
pub use guest_adopt::{Access, Adopted, AdoptedWord, GuestAdopt, HostSetting, Reach, Trusted, Trusting};
pub use guest_clone::{Cloned, ClonedWord, GuestClone};
pub use guest_create::{Created, CreatedWord, Document, GuestCreate};
pub use guest_delete::{Deleted, DeletedWord, GuestDelete};
pub use guest_info::{Backend, Confined, Drive, GuestDisk, GuestFacts, GuestInfo, Loopback, LoopbackState, Nic, NicAddress, Run};
pub use guest_list::{FACTS, GuestList, GuestRow, column};
pub use guest_move::{GuestMove, Moved, MovedWord};
pub use guest_promote::{GuestPromote, Promoted, PromotedWord};
pub use guest_receive::{Disarmed, GuestReceive, Received, ReceivedWord};
pub use guest_rename::{GuestRename, Renamed, RenamedWord};
pub use guest_reset::{GuestReset, ResetWord, WasReset};
pub use guest_send::{GuestSend, Sent, SentWord, Since};
pub use guest_set::{Changed, ChangedWord, GuestSet};
pub use guest_start::{GuestStart, Started, StartedWord, Starting};
pub use guest_stop::{Ended, GuestStop, Stopped, StoppedWord};
pub use guest_undelete::{GuestUndelete, Undeleted, UndeletedWord};
pub use host_set::{HostChanged, HostSet, HostSettings};
pub use image_delete::{ImageDelete, ImageGone, ImageGoneWord};
pub use image_import::{ImageImport, Imported, ImportedWord};
pub use image_info::{ImageFacts, ImageInfo};
pub use image_list::{Image, ImageList};
pub use image_rename::{ImageRename, ImageRenamed, ImageRenamedWord};
pub use image_verify::{ImageVerify, Verified, VerifiedWord};
pub use network_apply::{NetworkApplied, NetworkAppliedWord, NetworkApply, NetworkObject};
pub use network_change::{BridgeChange, BridgeChanged, BridgeWord, NetworkChange};
pub use network_check::{Aspect, Difference, NetworkCheck};
pub use network_confirm::{NetworkConfirm, NetworkConfirmed};
pub use network_list::{Bridge, BridgeState, BridgeType, Made, Member, NetworkList};
pub use network_nat::{NatRules, NetworkNat, PacketFilter};
pub use nic_change::{NicChange, NicChangeKind, NicChanged, NicNetwork, NicOf, NicWord};
pub use pool_change::{PoolChange, PoolChanged, PoolChangedWord, RoleChange};
pub use pool_init::{PoolInit, PoolMade, PoolMadeWord};
pub use pool_list::{Owner, Pool, PoolList};
pub use pool_remove::{PoolRemove, PoolRemoved, PoolRemovedWord};
pub use pool_upgrade::{PoolUpgrade, PoolUpgraded, PoolUpgradedWord};
pub use property_list::{Effect, EffectWhen, PropertyList, PropertyRow, ValueKind, Values};
pub use reclaim::{Reclaim, Reclaimed, ReclaimedResult, ReclaimedWord, Removed, RemovedKind};
pub use repair::{Repair, Repaired, RepairedWord};
pub use setting_get::{Holder, Setting, SettingGet, Source};
pub use snapshot_create::{SnapshotCreate, Take, Taken, TakenWord};
pub use snapshot_delete::{Doom, Gone, GoneWord, SnapshotDelete};
pub use snapshot_diff::{Differs, DiffersIn, SnapshotDiff};
pub use snapshot_list::{Snapshot, SnapshotList};
pub use snapshot_rollback::{RolledBack, RolledBackWord, SnapshotRollback};
pub use trash_empty::{Emptied, EmptiedWord, TrashEmpty};
pub use trash_list::{TrashList, Trashed, TrashedKind};

use crate::schema::Entry;

/// The table of operations. Their schemas are kept in files, so that the program need not have what generates them, which only a
/// test uses.
macro_rules! operations {
    ($($name:literal $operation:ident,)+) => {
        /// All operations, in alphabetical order.
        pub(crate) const ALL: &[Entry] = &[$(Entry { name: $name }),+];

        /// The name of each operation, and its schemas as they follow from the types.
        #[cfg(test)]
        pub(crate) fn generated() -> Vec<(&'static str, serde_json::Value)> {
            vec![$((<$operation as crate::Operation>::NAME, crate::schema::generated::<$operation>())),+]
        }
    };
}

operations! {
    "catalogue-list" CatalogueList,
    "catalogue-status" CatalogueStatus,
    "catalogue-update" CatalogueUpdate,
    "clone-list" CloneList,
    "cloud-init-reinit" CloudInitReinit,
    "cloud-init-set" CloudInitSet,
    "cloud-init-show" CloudInitShow,
    "cloud-init-status" CloudInitStatus,
    "console-open" ConsoleOpen,
    "disk-add" DiskAdd,
    "disk-change" DiskChange,
    "disk-list" DiskList,
    "doctor" Doctor,
    "drive-change" DriveChange,
    "firmware-reset" FirmwareReset,
    "guest-adopt" GuestAdopt,
    "guest-clone" GuestClone,
    "guest-create" GuestCreate,
    "guest-delete" GuestDelete,
    "guest-info" GuestInfo,
    "guest-list" GuestList,
    "guest-move" GuestMove,
    "guest-promote" GuestPromote,
    "guest-receive" GuestReceive,
    "guest-rename" GuestRename,
    "guest-reset" GuestReset,
    "guest-send" GuestSend,
    "guest-set" GuestSet,
    "guest-start" GuestStart,
    "guest-stop" GuestStop,
    "guest-undelete" GuestUndelete,
    "host-set" HostSet,
    "image-delete" ImageDelete,
    "image-import" ImageImport,
    "image-info" ImageInfo,
    "image-list" ImageList,
    "image-rename" ImageRename,
    "image-verify" ImageVerify,
    "network-apply" NetworkApply,
    "network-change" NetworkChange,
    "network-check" NetworkCheck,
    "network-confirm" NetworkConfirm,
    "network-list" NetworkList,
    "network-nat" NetworkNat,
    "nic-change" NicChange,
    "pool-change" PoolChange,
    "pool-init" PoolInit,
    "pool-list" PoolList,
    "pool-remove" PoolRemove,
    "pool-upgrade" PoolUpgrade,
    "property-list" PropertyList,
    "reclaim" Reclaim,
    "repair" Repair,
    "setting-get" SettingGet,
    "snapshot-create" SnapshotCreate,
    "snapshot-delete" SnapshotDelete,
    "snapshot-diff" SnapshotDiff,
    "snapshot-list" SnapshotList,
    "snapshot-rollback" SnapshotRollback,
    "trash-empty" TrashEmpty,
    "trash-list" TrashList,
}
