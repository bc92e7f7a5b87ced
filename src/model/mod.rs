//! Values that are valid by construction: whoever holds one need not check it
//! again. No I/O, no clocks, no serde, no Thrift, no SQL.

mod address;
mod display_name;
mod host;
mod metric;
mod segment;
mod source;
mod window;

pub use address::Address;
pub use display_name::DisplayName;
pub use host::{GivenHost, Host, HostFault, HostFaults, HostField, HostId, HostSet, SENTINEL_HOST};
pub use metric::{Datapoint, KeyFault, MetricKey, MetricNode, MetricPart, Series};
pub use segment::{CloudRow, FlavorRow, GapRow, SegmentRow, UserRow};
pub use source::{Source, SourceFault};
pub use window::{Window, WindowFault};
