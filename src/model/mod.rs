//! Values that are valid by construction: whoever holds one need not check it
//! again. No I/O, no clocks, no serde, no Thrift, no SQL.

mod address;
mod display_name;
mod host;
mod instance;
mod metric;
mod rows;
mod sample;
mod seen;
mod segment;
mod sighting;
mod source;
mod window;

pub use address::Address;
pub use display_name::DisplayName;
pub use host::{GivenHost, Host, HostFault, HostFaults, HostField, HostId, HostSet, SENTINEL_HOST};
pub use instance::{
    Details, Flavor, Instance, InstanceId, Label, Labels, Owner, OwnerRank, Shape, Size,
};
pub use metric::{Datapoint, KeyFault, MetricKey, MetricNode, MetricPart, Series};
pub use rows::{CloudRow, FlavorRow, GapRow, ListedRow, SegmentRow, UserRow};
pub use sample::{
    MetricPath, PathBuffer, PathFault, Sample, compare_labels, is_clean_label, label_fingerprint,
};
pub use seen::{HostSeen, HostState, ServiceCounts, ServiceSeen, ServiceState, Standing};
pub use segment::{Moment, Segment, TimeSource};
pub use sighting::{Departure, Event, EventKind, Sighting, SightingFault};
pub use source::{Source, SourceFault};
pub use window::{Window, WindowFault};
