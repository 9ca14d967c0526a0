//! Where messages go: lines on standard output, or a picture that is drawn again and again: in its
//! place on a terminal, elsewhere one below the other. Takes no message from anybody.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use tidewire_proto::mqtt::Publish;

use super::series::Board;
use super::shown::{Shape, show};
use crate::wall_clock::wall_clock_ms;

/// On a terminal a picture is no oftener drawn.
const EVERY: Duration = Duration::from_millis(100);
/// Elsewhere each stays: whoever reads them is to see that something comes, not all that comes.
const EVERY_KEPT: Duration = Duration::from_secs(5);
/// Where the terminal does not say how wide it is.
const WIDTH: usize = 80;

/// The output of one command.
pub(crate) struct Screen {
    shape: Shape,
    picture: Option<Picture>,
}

struct Picture {
    board: Board,
    is_terminal: bool,
    /// Drawn before the end, too.
    moves: bool,
    drawn: Option<Instant>,
    /// Something came that is not drawn.
    is_stale: bool,
    /// Lines of it that stand there.
    lines: usize,
}

impl Screen {
    /// `has_end`: it ends with what there is, and a picture of less is no use to who keeps it.
    pub(crate) fn new(shape: Shape, field: Option<&str>, has_end: bool) -> Self {
        let is_terminal = io::stdout().is_terminal();
        let picture = field.map(|field| Picture {
            board: Board::of(field),
            is_terminal,
            moves: is_terminal || !has_end,
            // The first that stays is to have something in it.
            drawn: (!is_terminal).then(Instant::now),
            is_stale: true,
            lines: 0,
        });
        Self { shape, picture }
    }

    /// Shows a message. `false`: nobody reads any more.
    pub(crate) fn take(&mut self, message: &Publish<'_>) -> bool {
        match &mut self.picture {
            Some(picture) => {
                picture.board.note(message.topic, message.payload);
                picture.is_stale = true;
                self.refresh()
            }
            None => {
                let line = show(&self.shape, message, wall_clock_ms());
                let mut out = io::stdout().lock();
                out.write_all(&line).and_then(|()| out.flush()).is_ok()
            }
        }
    }

    /// Draws what is not drawn, if it is time. `false`: nobody reads any more.
    pub(crate) fn refresh(&mut self) -> bool {
        let Some(picture) = &mut self.picture else { return true };
        let every = if picture.is_terminal { EVERY } else { EVERY_KEPT };
        let is_soon = picture.drawn.is_some_and(|drawn| drawn.elapsed() < every);
        if !picture.moves || !picture.is_stale || is_soon {
            return true;
        }
        picture.draw()
    }

    /// Whether there is something to refresh now and then.
    pub(crate) fn moves(&self) -> bool {
        self.picture.as_ref().is_some_and(|picture| picture.moves)
    }

    /// The last picture.
    pub(crate) fn end(&mut self) {
        if let Some(picture) = self.picture.as_mut().filter(|picture| picture.is_stale) {
            picture.draw();
        }
    }
}

impl Picture {
    fn draw(&mut self) -> bool {
        let text = self.board.draw(width());
        let before = match (self.lines, self.is_terminal) {
            (0, _) => String::new(),
            (lines, true) => format!("\u{1b}[{lines}A\r\u{1b}[J"),
            (_, false) => "\n".into(),
        };
        (self.lines, self.is_stale) = (text.lines().count(), false);
        self.drawn = Some(Instant::now());
        let mut out = io::stdout().lock();
        write!(out, "{before}{text}").and_then(|()| out.flush()).is_ok()
    }
}

/// Of the terminal; without one what COLUMNS says.
fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
    let columns = size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0);
    let said = || std::env::var("COLUMNS").ok()?.parse().ok().filter(|columns| *columns > 0);
    columns.or_else(said).unwrap_or(WIDTH)
}
