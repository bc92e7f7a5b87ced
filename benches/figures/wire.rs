//! Calls as a client of 2014 sends them: framed, strict binary protocol.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::ensure;
use thrift::protocol::{
    TBinaryInputProtocol, TBinaryOutputProtocol, TFieldIdentifier, TInputProtocol, TListIdentifier,
    TMessageIdentifier, TMessageType, TOutputProtocol, TStructIdentifier, TType,
};
use thrift::transport::{
    ReadHalf, TFramedReadTransport, TFramedWriteTransport, TIoChannel, TTcpChannel, WriteHalf,
};
use weather_balloon::rpc::wire::hosts::{HostsStatus, HostsSyncClient, THostsSyncClient};

pub struct Machine {
    pub id: String,
    pub address: String,
}

impl Machine {
    /// A whole set; sets of different `net` differ in every address.
    pub fn set(count: usize, net: u8) -> Vec<Self> {
        (0..count)
            .map(|n| Self {
                id: format!("i-{n:08x}"),
                address: format!("127.{net}.{}.{}", n / 250, n % 250 + 1),
            })
            .collect()
    }
}

pub fn get_metrics(host: &str, key: &str) -> thrift::Result<Vec<u8>> {
    framed("get_metrics", |out| {
        for (id, text) in [(1, host), (2, key)] {
            out.write_field_begin(&TFieldIdentifier::new("text", TType::String, id))?;
            out.write_string(text)?;
            out.write_field_end()?;
        }
        Ok(())
    })
}

pub fn set_hosts(machines: &[Machine]) -> thrift::Result<Vec<u8>> {
    framed("set_hosts", |out| {
        out.write_field_begin(&TFieldIdentifier::new("hosts", TType::List, 1))?;
        let count = i32::try_from(machines.len()).unwrap_or(i32::MAX);
        out.write_list_begin(&TListIdentifier::new(TType::Struct, count))?;
        for Machine { id, address } in machines {
            out.write_struct_begin(&TStructIdentifier::new("Host"))?;
            let name = format!("machine {id}");
            for (number, text) in [(1, id), (2, &name), (3, address)] {
                out.write_field_begin(&TFieldIdentifier::new("text", TType::String, number))?;
                out.write_string(text)?;
                out.write_field_end()?;
            }
            out.write_field_stop()?;
            out.write_struct_end()?;
        }
        out.write_list_end()?;
        out.write_field_end()
    })
}

fn framed(
    method: &str,
    arguments: impl FnOnce(&mut dyn TOutputProtocol) -> thrift::Result<()>,
) -> thrift::Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    let mut out = TBinaryOutputProtocol::new(&mut bytes, true);
    out.write_message_begin(&TMessageIdentifier::new(method, TMessageType::Call, 1))?;
    out.write_struct_begin(&TStructIdentifier::new("args"))?;
    arguments(&mut out)?;
    out.write_field_stop()?;
    out.write_struct_end()?;
    out.write_message_end()?;
    let length = u32::try_from(bytes.len() - 4).unwrap_or(u32::MAX);
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    Ok(bytes)
}

/// Fails if a framed reply is an exception; its first words are shown.
pub fn expect_reply(reply: &[u8]) -> anyhow::Result<()> {
    let mut message = reply.get(4..).unwrap_or_default();
    let head = TBinaryInputProtocol::new(&mut message, true).read_message_begin()?;
    ensure!(
        head.message_type == TMessageType::Reply,
        "the server answers: {}",
        String::from_utf8_lossy(&message[..message.len().min(300)])
    );
    Ok(())
}

type Input = TBinaryInputProtocol<TFramedReadTransport<ReadHalf<TTcpChannel>>>;
type Output = TBinaryOutputProtocol<TFramedWriteTransport<WriteHalf<TTcpChannel>>>;

/// The generated client, for what is not measured.
pub struct Client(HostsSyncClient<Input, Output>);

impl Client {
    pub fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = std::net::TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        let (read, write) = TTcpChannel::with_stream(stream).split()?;
        let input = TBinaryInputProtocol::new(TFramedReadTransport::new(read), true);
        let output = TBinaryOutputProtocol::new(TFramedWriteTransport::new(write), true);
        Ok(Self(HostsSyncClient::new(input, output)))
    }

    pub fn status(&mut self) -> anyhow::Result<HostsStatus> {
        Ok(self.0.get_status()?)
    }
}
