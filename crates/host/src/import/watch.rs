//! A wrapper around a connection to a web server: detects whether more data arrived than was announced, and completes the
//! request line for a proxy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport, time};

/// How long a server may take to close a connection that it was asked to close.
const CLOSING: time::Duration = time::Duration::from_millis(500);

/// Checks at the end of a connection whether more data arrived than was announced: the server was asked to close it.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) more: Arc<AtomicBool>,
    /// The text that a proxy needs before the path.
    pub(super) prefix: Option<String>,
}

impl<In: Transport> Connector<In> for Watch {
    type Out = Watched<In>;

    fn connect(&self, _: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        Ok(chained.map(|inner| Watched { inner, more: self.more.clone(), prefix: self.prefix.clone() }))
    }
}

/// A wrapped connection.
#[derive(Debug)]
pub(super) struct Watched<T: Transport> {
    inner: T,
    more: Arc<AtomicBool>,
    prefix: Option<String>,
}

impl<T: Transport> Transport for Watched<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let mut amount = amount;
        if let Some(prefix) = self.prefix.take() {
            // `GET /path` becomes `GET http://host/path`.
            let output = self.inner.buffers().output();
            if output.len() < amount + prefix.len() || !output.starts_with(b"GET /") {
                return Err(Error::ConnectionFailed);
            }
            output.copy_within(4..amount, 4 + prefix.len());
            output[4..4 + prefix.len()].copy_from_slice(prefix.as_bytes());
            amount += prefix.len();
        }
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

impl<T: Transport> Drop for Watched<T> {
    fn drop(&mut self) {
        let timeout = NextTimeout { per_read: Some(CLOSING), ..NextTimeout::default() };
        let more = !self.inner.buffers().input().is_empty() || self.inner.await_input(timeout).unwrap_or(false);
        self.more.store(more, Ordering::SeqCst);
    }
}
