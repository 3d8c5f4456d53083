//! A drawing, line by line.

use std::fmt::{Display, Write as _};

#[derive(Debug)]
pub(super) struct Svg(String);

impl Svg {
    pub(super) fn new(width: f64, height: f64, title: &str) -> Self {
        Self(format!("<svg viewBox='0 0 {width} {height}' role=img><title>{title}</title>"))
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), style: &str) {
        let _ = write!(
            self.0,
            "<line x1='{:.1}' y1='{:.1}' x2='{:.1}' y2='{:.1}' {style}/>",
            from.0, from.1, to.0, to.1
        );
    }

    /// `anchor`: `start`, `middle` or `end` is at `at`.
    pub(super) fn text(&mut self, at: (f64, f64), anchor: &str, text: impl Display) {
        let _ = write!(
            self.0,
            "<text x='{:.1}' y='{:.1}' text-anchor='{anchor}'>{text}</text>",
            at.0, at.1
        );
    }

    pub(super) fn dot(&mut self, at: (f64, f64), fill: &str) {
        let _ = write!(self.0, "<circle cx='{:.1}' cy='{:.1}' r='4' fill='{fill}'/>", at.0, at.1);
    }

    pub(super) fn curve(&mut self, points: impl Iterator<Item = (f64, f64)>, stroke: &str) {
        let points: Vec<String> = points.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = write!(
            self.0,
            "<polyline points='{}' fill='none' stroke='{stroke}' stroke-width='1.8'/>",
            points.join(" ")
        );
    }

    pub(super) fn done(self) -> String {
        self.0 + "</svg>"
    }
}
