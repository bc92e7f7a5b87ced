//! The other side of the door, for the command line: one connection, one call
//! after another, blocking.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use thrift::protocol::{
    TBinaryInputProtocol, TBinaryOutputProtocol, TFieldIdentifier, TInputProtocol,
    TMessageIdentifier, TMessageType, TSerializable, TStructIdentifier, TType,
};
use thrift::transport::{TBufferedReadTransport, TBufferedWriteTransport};

use crate::inspect::Finding;
use crate::model::{Datapoint, GivenHost, Series};

use super::convert::finding_of;
use super::decode::text;
use super::fields::{each_element, each_field};
use super::wire::cloud;
use super::wire::hosts::{self as wire, THostsSyncClient};

pub use super::wire::cloud::{
    CloudBlame, CloudOrder, CloudRole, CloudStatus, HeldInstance, ObservationGap, SkippedInstance,
    UsageGroup, UsageOrder, UsageQuestion, UsageReport, UsageRow,
};
pub use super::wire::hosts::{
    ArchiveStatus, Generation, GenerationState, GivenSeries, HostsDiff, HostsStatus, HostsView,
    Imported, MetricsQuestion, MetricsSource, PerfdataStatus, PruneQuestion, PrunedHost,
    SinkStatus, WatchedHost,
};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0:?} is no address of the daemon; write \"127.0.0.1:8000\" or \"unix:/path\"")]
    Address(String),
    /// Nobody answers there.
    #[error("cannot reach the daemon on {address}; is weather-balloon running?")]
    Unreachable { address: String, source: io::Error },
    /// It went away, or said nothing in time, in the middle of a call.
    #[error("the daemon gave no whole answer: {0}")]
    Lost(String),
    /// It answers and cannot do it now.
    #[error("{0}")]
    Unavailable(String),
    #[error("{message}")]
    HeldByBrake { message: String, removed: i32, current: i32 },
    #[error("{message}")]
    InvalidHosts { message: String, faults: Vec<String> },
    #[error("{0}")]
    RejectedByNagios(String),
    #[error("{0}")]
    BadQuestion(String),
    /// Any other failure, in the daemon's words.
    #[error("{0}")]
    Failed(String),
}

impl From<thrift::Error> for Error {
    fn from(fault: thrift::Error) -> Self {
        let fault = match fault {
            thrift::Error::User(fault) => fault,
            thrift::Error::Application(fault) => return Self::Failed(fault.message),
            lost => return Self::Lost(text(lost)),
        };
        let words = Option::unwrap_or_default;
        let fault = match fault.downcast::<wire::HeldByBrake>() {
            Ok(held) => {
                return Self::HeldByBrake {
                    message: words(held.message),
                    removed: held.removed_count.unwrap_or_default(),
                    current: held.current_count.unwrap_or_default(),
                };
            }
            Err(other) => other,
        };
        let fault = match fault.downcast::<wire::InvalidHosts>() {
            Ok(invalid) => {
                return Self::InvalidHosts {
                    message: words(invalid.message),
                    faults: invalid.faults.unwrap_or_default(),
                };
            }
            Err(other) => other,
        };
        let fault = match fault.downcast::<wire::RejectedByNagios>() {
            Ok(rejected) => return Self::RejectedByNagios(words(rejected.message)),
            Err(other) => other,
        };
        let fault = match fault.downcast::<wire::Unavailable>() {
            Ok(unavailable) => return Self::Unavailable(words(unavailable.message)),
            Err(other) => other,
        };
        match fault.downcast::<wire::BadQuestion>() {
            Ok(question) => Self::BadQuestion(words(question.message)),
            Err(other) => Self::Failed(other.to_string()),
        }
    }
}

type Input = TBinaryInputProtocol<TBufferedReadTransport<Box<dyn Read + Send>>>;
type Output = TBinaryOutputProtocol<TBufferedWriteTransport<Box<dyn Write + Send>>>;

/// A connection to the daemon.
pub struct Client {
    calls: wire::HostsSyncClient<Input, Output>,
}

impl Client {
    /// `answer` bounds each wait for the next bytes of an answer.
    pub fn connect(address: &str, connect: Duration, answer: Duration) -> Result<Self, Error> {
        let (read, write) = match address.strip_prefix("unix:") {
            Some(path) => unix(path, answer),
            None => tcp(address, connect, answer)?,
        }
        .map_err(|source| Error::Unreachable { address: address.to_owned(), source })?;
        let input = TBinaryInputProtocol::new(TBufferedReadTransport::new(read), true);
        let output = TBinaryOutputProtocol::new(TBufferedWriteTransport::new(write), true);
        Ok(Self { calls: wire::HostsSyncClient::new(input, output) })
    }

    pub fn replace_hosts(
        &mut self,
        hosts: Vec<GivenHost>,
        force: bool,
    ) -> Result<Generation, Error> {
        Ok(self.calls.replace_hosts(wire_hosts(hosts), force)?)
    }

    pub fn diff_hosts(&mut self, hosts: Vec<GivenHost>) -> Result<HostsDiff, Error> {
        Ok(self.calls.diff_hosts(wire_hosts(hosts))?)
    }

    pub fn get_hosts(&mut self) -> Result<HostsView, Error> {
        Ok(self.calls.get_hosts()?)
    }

    pub fn get_status(&mut self) -> Result<HostsStatus, Error> {
        Ok(self.calls.get_status()?)
    }

    pub fn get_perfdata_status(&mut self) -> Result<PerfdataStatus, Error> {
        Ok(self.calls.get_perfdata_status()?)
    }

    /// About one part, or all where it is empty.
    pub fn inspect(&mut self, part: &str) -> Result<Vec<Finding>, Error> {
        let found = self.calls.inspect(part.to_owned())?;
        Ok(found.into_iter().map(finding_of).collect())
    }

    pub fn trace_host(&mut self, host: &str) -> Result<Vec<Finding>, Error> {
        let found = self.calls.trace_host(host.to_owned())?;
        Ok(found.into_iter().map(finding_of).collect())
    }

    /// Newest first; `limit` 0 means all that are kept.
    pub fn get_history(&mut self, limit: i32) -> Result<Vec<Generation>, Error> {
        Ok(self.calls.get_history(limit)?)
    }

    pub fn rollback(&mut self, generation: i64, force: bool) -> Result<Generation, Error> {
        Ok(self.calls.rollback(generation, force)?)
    }

    pub fn get_archive_status(&mut self) -> Result<ArchiveStatus, Error> {
        Ok(self.calls.get_archive_status()?)
    }

    pub fn prune_metrics(&mut self, question: PruneQuestion) -> Result<Vec<PrunedHost>, Error> {
        Ok(self.calls.prune_metrics(question)?)
    }

    pub fn import_metrics(&mut self, series: Vec<GivenSeries>) -> Result<Imported, Error> {
        Ok(self.calls.import_metrics(series)?)
    }

    /// Sorted by name. The generated client reads an absent value as 0, so
    /// this answer is read by hand.
    pub fn query_metrics(&mut self, question: &MetricsQuestion) -> Result<Vec<Series>, Error> {
        self.ask("query_metrics", question, read_metrics_result)
    }

    pub fn get_usage(&mut self, question: &UsageQuestion) -> Result<UsageReport, Error> {
        self.ask("get_usage", question, read_usage_result)
    }

    pub fn get_clouds(&mut self) -> Result<Vec<CloudStatus>, Error> {
        self.ask("get_clouds", &CloudOrder { name: None, held_token: None }, read_clouds)
    }

    /// Without a name all.
    pub fn sync_cloud(&mut self, name: Option<String>) -> Result<Vec<CloudStatus>, Error> {
        self.ask("sync_cloud", &CloudOrder { name, held_token: None }, read_clouds)
    }

    /// Only what the token names.
    pub fn release_cloud(
        &mut self,
        name: String,
        held_token: Option<i64>,
    ) -> Result<Vec<CloudStatus>, Error> {
        self.ask("release_cloud", &CloudOrder { name: Some(name), held_token }, read_clouds)
    }

    /// A call of either service with one struct.
    fn ask<T>(
        &mut self,
        name: &str,
        question: &impl TSerializable,
        read: impl FnOnce(&mut dyn TInputProtocol) -> thrift::Result<Result<T, Error>>,
    ) -> Result<T, Error> {
        use thrift::TThriftClient;

        let sequence = self.calls.increment_sequence_number();
        let out = self.calls.o_prot_mut();
        out.write_message_begin(&TMessageIdentifier::new(name, TMessageType::Call, sequence))?;
        out.write_struct_begin(&TStructIdentifier::new("args"))?;
        out.write_field_begin(&TFieldIdentifier::new("question", TType::Struct, 1))?;
        question.write_to_out_protocol(out)?;
        out.write_field_end()?;
        out.write_field_stop()?;
        out.write_struct_end()?;
        out.write_message_end()?;
        out.flush()?;

        let from = self.calls.i_prot_mut();
        let head = from.read_message_begin()?;
        if head.name != name || head.sequence_number != sequence {
            return Err(Error::Lost("it answers another call".to_owned()));
        }
        if head.message_type == TMessageType::Exception {
            let fault = thrift::Error::read_application_error_from_in_protocol(from)?;
            from.read_message_end()?;
            return Err(Error::Failed(fault.message));
        }
        let answer = read(from)?;
        from.read_message_end()?;
        answer
    }
}

type Halves = io::Result<(Box<dyn Read + Send>, Box<dyn Write + Send>)>;

fn unix(path: &str, answer: Duration) -> Halves {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(answer))?;
    stream.set_write_timeout(Some(answer))?;
    Ok((Box::new(stream.try_clone()?), Box::new(stream)))
}

fn tcp(address: &str, connect: Duration, answer: Duration) -> Result<Halves, Error> {
    let places = address.to_socket_addrs().map_err(|_| Error::Address(address.to_owned()))?;
    let mut last = Err(io::ErrorKind::AddrNotAvailable.into());
    for place in places {
        last = TcpStream::connect_timeout(&place, connect).and_then(|stream| {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(answer))?;
            stream.set_write_timeout(Some(answer))?;
            let halves: (Box<dyn Read + Send>, Box<dyn Write + Send>) =
                (Box::new(stream.try_clone()?), Box::new(stream));
            Ok(halves)
        });
        if last.is_ok() {
            break;
        }
    }
    Ok(last)
}

fn wire_hosts(hosts: Vec<GivenHost>) -> Vec<wire::Host> {
    hosts
        .into_iter()
        .map(|host| wire::Host::new(host.id, host.display_name, host.address))
        .collect()
}

type Answer = Result<Vec<Series>, Error>;

fn read_clouds(from: &mut dyn TInputProtocol) -> thrift::Result<Result<Vec<CloudStatus>, Error>> {
    let mut answer = Err(Error::Lost("an answer without a result".to_owned()));
    each_field(from, &mut |id, kind, from| {
        match (id, kind) {
            (0, TType::List) => {
                let mut clouds = Vec::new();
                each_element(from, TType::Struct, &mut |from| {
                    clouds.push(CloudStatus::read_from_in_protocol(from)?);
                    Ok(())
                })?;
                answer = Ok(clouds);
            }
            (1, TType::Struct) => {
                let fault = cloud::BadQuestion::read_from_in_protocol(from)?;
                answer = Err(Error::BadQuestion(fault.message.unwrap_or_default()));
            }
            (2, TType::Struct) => {
                let fault = cloud::Unavailable::read_from_in_protocol(from)?;
                answer = Err(Error::Unavailable(fault.message.unwrap_or_default()));
            }
            _ => from.skip(kind)?,
        }
        Ok(())
    })?;
    Ok(answer)
}

fn read_usage_result(from: &mut dyn TInputProtocol) -> thrift::Result<Result<UsageReport, Error>> {
    let mut answer = Err(Error::Lost("an answer without a result".to_owned()));
    let words = Option::unwrap_or_default;
    each_field(from, &mut |id, kind, from| {
        answer = match (id, kind) {
            (0, TType::Struct) => Ok(UsageReport::read_from_in_protocol(from)?),
            (1, TType::Struct) => {
                let fault = cloud::BadQuestion::read_from_in_protocol(from)?;
                Err(Error::BadQuestion(words(fault.message)))
            }
            (2, TType::Struct) => {
                let fault = cloud::Unavailable::read_from_in_protocol(from)?;
                Err(Error::Unavailable(words(fault.message)))
            }
            _ => return from.skip(kind),
        };
        Ok(())
    })?;
    Ok(answer)
}

fn read_metrics_result(from: &mut dyn TInputProtocol) -> thrift::Result<Answer> {
    let mut answer = Err(Error::Lost("an answer without a result".to_owned()));
    each_field(from, &mut |id, kind, from| {
        match (id, kind) {
            (0, TType::Map) => answer = Ok(read_metrics(from)?),
            (1, TType::Struct) => {
                answer = Err(
                    thrift::Error::from(wire::BadQuestion::read_from_in_protocol(from)?).into()
                );
            }
            (2, TType::Struct) => {
                answer = Err(
                    thrift::Error::from(wire::Unavailable::read_from_in_protocol(from)?).into()
                );
            }
            _ => from.skip(kind)?,
        }
        Ok(())
    })?;
    Ok(answer)
}

fn read_metrics(from: &mut dyn TInputProtocol) -> thrift::Result<Vec<Series>> {
    let map = from.read_map_begin()?;
    let mut series = BTreeMap::new();
    for _ in 0..map.size {
        let name = from.read_string()?;
        let mut points = Vec::new();
        each_element(from, TType::Struct, &mut |from| {
            let mut point = Datapoint { time: 0, value: None };
            each_field(from, &mut |id, kind, from| {
                match (id, kind) {
                    (1, TType::I64) => point.time = from.read_i64()?,
                    (2, TType::Double) => point.value = Some(from.read_double()?),
                    _ => from.skip(kind)?,
                }
                Ok(())
            })?;
            points.push(point);
            Ok(())
        })?;
        series.insert(name, points);
    }
    from.read_map_end()?;
    Ok(series.into_iter().map(|(name, points)| Series { name, points }).collect())
}
