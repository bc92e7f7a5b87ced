//! Whether the accept loop turns, asked from outside.

use tokio::sync::{mpsc, oneshot};

/// Asks the accept loop for a sign of life. One at a time is enough.
#[derive(Clone, Debug)]
pub struct Pulse(mpsc::Sender<oneshot::Sender<()>>);

/// The accept loop's side. What waits in it is answered by one turn each.
pub(super) type Heart = mpsc::Receiver<oneshot::Sender<()>>;

pub(super) fn pair() -> (Pulse, Heart) {
    let (ask, heart) = mpsc::channel(1);
    (Pulse(ask), heart)
}

impl Pulse {
    /// Ready when the loop has come round; false when there is no loop any
    /// more. Waits for ever on a loop that hangs: give it a limit.
    pub async fn beat(&self) -> bool {
        let (answer, answered) = oneshot::channel();
        self.0.send(answer).await.is_ok() && answered.await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn only_a_loop_that_turns_answers() {
        let (pulse, mut heart) = pair();
        // Mutation: an answer on arrival, without the loop, would be ready here.
        assert!(timeout(Duration::from_millis(50), pulse.beat()).await.is_err());
        let turning = async {
            while let Some(asked) = heart.recv().await {
                // Who asked before the loop turned waits no more.
                asked.send(()).ok();
            }
        };
        tokio::select! {
            () = turning => unreachable!("the pulse is held"),
            alive = pulse.beat() => assert!(alive),
        }
        drop(heart);
        assert!(!pulse.beat().await);
    }
}
