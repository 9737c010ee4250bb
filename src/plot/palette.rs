//! [`Palette`]: the colours. Buying and selling are blue and orange of Okabe and Ito's set, which people with any kind of colour blindness tell apart; gaps
//! are purple and hatched, so that they do not depend on colour.

use super::config::Theme;

/// The colours of a theme.
#[derive(Debug, Clone, Copy)]
pub(super) struct Palette {
    pub(super) ground: &'static str,
    pub(super) panel: &'static str,
    pub(super) grid: &'static str,
    pub(super) axis: &'static str,
    pub(super) text: &'static str,
    pub(super) muted: &'static str,
    pub(super) buy: &'static str,
    pub(super) sell: &'static str,
    pub(super) ask: &'static str,
    pub(super) bid: &'static str,
    pub(super) spread: &'static str,
    pub(super) gap: &'static str,
    pub(super) absent: &'static str,
    /// Text on a ground of the colour of a gap, a side or a verdict.
    pub(super) on_colour: &'static str,
    pub(super) whole: &'static str,
}

impl Palette {
    pub(super) const fn of(theme: Theme) -> Self {
        match theme {
            Theme::Light => Self {
                ground: "#ffffff",
                panel: "#fafbfc",
                grid: "#e6eaef",
                axis: "#b4bec9",
                text: "#17212b",
                muted: "#5c6b7a",
                buy: "#0072b2",
                sell: "#d55e00",
                ask: "#8595a6",
                bid: "#4d5e70",
                spread: "#dfe5ec",
                gap: "#a03a86",
                absent: "#93a0ad",
                on_colour: "#ffffff",
                whole: "#00735a",
            },
            Theme::Dark => Self {
                ground: "#0f151d",
                panel: "#141c26",
                grid: "#222d3a",
                axis: "#46566a",
                text: "#e4ebf2",
                muted: "#93a4b6",
                buy: "#56b4e9",
                sell: "#f0913d",
                ask: "#6b7c90",
                bid: "#a9b8c8",
                spread: "#25313f",
                gap: "#df8cc6",
                absent: "#66778a",
                on_colour: "#0f151d",
                whole: "#3cc3a0",
            },
        }
    }
}
