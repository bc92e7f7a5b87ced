//! Our sender and receivers with faults that a real Carbon does not show on
//! demand.
mod common;

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use weather_balloon::carbon::{Batch, Config, Destination, Receipt, SendError, Sender};

async fn listener() -> (TcpListener, Sender) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = Destination::parse(&listener.local_addr().unwrap().to_string()).unwrap();
    let config = Config {
        write_timeout: Duration::from_secs(10),
        receipt_timeout: Duration::from_secs(10),
        ..Config::default()
    };
    (listener, Sender::new(to, &config))
}

/// Sends so many bytes to a peer that does `act` with the connection.
async fn send<F: Future<Output = ()>>(
    bytes: usize,
    act: impl FnOnce(TcpStream) -> F,
) -> Result<Receipt, SendError> {
    let (listener, sender) = listener().await;
    let bytes = vec![b'x'; bytes];
    let batch = Batch { bytes: &bytes, points: 1 };
    let peer = async { act(listener.accept().await.unwrap().0).await };
    tokio::join!(sender.send_batch(batch), peer).0
}

async fn read_all(stream: &mut TcpStream) -> usize {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap()
}

#[tokio::test]
async fn the_end_after_ours_is_the_receipt() {
    let sent = send(3_000_000, |mut stream| async move {
        assert_eq!(read_all(&mut stream).await, 3_000_000);
    });
    assert_eq!(sent.await.unwrap().points, 1);
}

/// Linux gives such an end as a plain one where nothing else is asked.
#[tokio::test]
async fn an_end_before_ours_is_no_receipt() {
    for bytes in [1, 100, 10_000, 1_000_000] {
        for _ in 0..50 {
            let sent = send(bytes, |stream| async { drop(stream) }).await;
            assert!(sent.is_err(), "{bytes} bytes: {sent:?}");
        }
    }
    // So much that the receiver's end is there long before ours.
    let sent = send(12_000_000, |mut stream| async move {
        stream.shutdown().await.unwrap();
        // It ends by a reset or not: that is the sender's business.
        drop(stream.read_to_end(&mut Vec::new()).await);
    });
    let sent = sent.await;
    assert!(matches!(sent, Err(SendError::Closed { .. })), "{sent:?}");
}

#[tokio::test]
async fn bytes_left_unread_are_no_receipt() {
    let sent = send(100_000, |mut stream| async move {
        let mut some = [0; 50_000];
        stream.read_exact(&mut some).await.unwrap();
    });
    let fault = sent.await.unwrap_err();
    assert!(matches!(fault, SendError::Write { .. } | SendError::Receipt { .. }), "{fault:?}");
}

#[tokio::test]
async fn an_answer_is_no_receipt() {
    let before = send(10, |mut stream| async move {
        stream.write_all(b"SSH-2.0-x\r\n").await.unwrap();
        drop(stream.read_to_end(&mut Vec::new()).await);
    });
    assert!(matches!(before.await, Err(SendError::Answered { .. })));
    let after = send(10, |mut stream| async move {
        read_all(&mut stream).await;
        stream.write_all(b"ok\r\n").await.unwrap();
    });
    assert!(matches!(after.await, Err(SendError::Answered { .. })));
}

/// Twice the bytes that the kernels hold, at a pace that keeps the sender
/// waiting, but not for as long as its time-outs.
#[tokio::test]
async fn a_slow_receiver_gets_everything() {
    let sent = send(12_000_000, |mut stream| async move {
        let mut some = vec![0; 256 * 1024];
        let mut total = 0;
        loop {
            let count = stream.read(&mut some).await.unwrap();
            if count == 0 {
                break;
            }
            total += count;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert_eq!(total, 12_000_000);
    });
    assert!(sent.await.unwrap().took > Duration::from_millis(50));
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_told() {
    // Longer than a label of DNS may be, so that nobody is asked.
    let name = format!("{}:2004", "x".repeat(64));
    let to = Destination::parse(&name).unwrap();
    let sender = Sender::new(to, &Config::default());
    let fault = sender.send_batch(Batch { bytes: b"x", points: 1 }).await.unwrap_err();
    assert!(
        matches!(fault, SendError::Resolve { .. } | SendError::ConnectTimeout { .. }),
        "{fault:?}"
    );
    assert!(fault.to_string().contains(&name));
}
