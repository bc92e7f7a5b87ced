//! Use by day, as bars.

use maud::{Markup, html};

use super::chart::{axes, round};
use super::scale::{BOTTOM, HEIGHT, Values, WIDTH, x};
use crate::model::Window;

const DAY: i64 = 86_400;

/// One bar for each day: its first second and what was used, in CPU hours.
pub(super) fn bars(told: &str, window: Window, days: &[(i64, f64)]) -> Markup {
    let scale = Values::of(days.iter().map(|day| day.1));
    html! {
        figure.chart.broad {
            figcaption { span.metric { "CPU hours by day" } " " span.unit { "days of UTC" } }
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(told) {
                (axes(&scale, window))
                @for &(start, used) in days {
                    @let (from, to) = (x(window, start), x(window, start.saturating_add(DAY)));
                    @let (top, gap) = (scale.y(used), ((to - from) * 0.15).min(2.0));
                    rect.fill x=(round(from + gap)) y=(round(top))
                        width=(round((to - from - 2.0 * gap).max(0.5))) height=(round(BOTTOM - top)) {}
                }
            }
        }
    }
}
