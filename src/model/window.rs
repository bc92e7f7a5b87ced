/// A stretch of time that is not empty, in UTC seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    start: i64,
    end: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the window begins at {start} and ends at {end}; it must begin before it ends")]
pub struct WindowFault {
    start: i64,
    end: i64,
}

impl Window {
    pub fn new(start: i64, end: i64) -> Result<Self, WindowFault> {
        if start < end { Ok(Self { start, end }) } else { Err(WindowFault { start, end }) }
    }

    pub fn start(&self) -> i64 {
        self.start
    }

    pub fn end(&self) -> i64 {
        self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_never_empty() {
        let window = Window::new(i64::MIN, i64::MAX).unwrap();
        assert_eq!((window.start(), window.end()), (i64::MIN, i64::MAX));
        assert_eq!(
            Window::new(7, 7).unwrap_err().to_string(),
            "the window begins at 7 and ends at 7; it must begin before it ends"
        );
        assert!(Window::new(8, 7).is_err());
    }
}
