// Package plot draws every figure of a report from run records: the evening over
// time, the people, the layers, sweeps, heat maps and comparisons. It reads
// records only and cannot tell which arm wrote one.
//
// All gives the figures of one run; Curves, Heat, Versus and Worth those of
// several; Fairness those of a lottery's draw. Metrics is the one list of numbers
// that sweeps are judged by, for tables as well as for figures. Each Figure is an
// SVG and a PNG of the same drawing, byte for byte the same for equal records.
//
// A quantity that a record does not have is left out; a figure without any data
// is not drawn, and Omitted says why. A percentile is drawn only where the
// samples carry it (record.Carries).
//
// # Decisions
//
// Frames are our own. gonum's plot.Plot sizes its data area by its tick labels
// and can put a legend only over the data. We use its canvas, fonts, scales and
// back ends, and lay out frames, legends and panels in style.go, so that panels
// share an axis to the point and no legend ever covers a curve.
//
// SVG text is text, set in Liberation Sans with Arial and Helvetica as stand-ins:
// the three have the same widths, so labels fit in any viewer. Embedding the font
// costs 1.1 MB a figure (regular and bold), which a page of fifteen figures cannot
// carry.
//
// A text carries its measured length as well, which holds other fonts to it.
//
// Metrics stand on package reports, so that a table and a figure of one run never
// differ; it imports no figure.
//
// Counts are those of the run; each figure's second line names the scale. Moments
// and durations are scenario time, except the generator's own lateness.
package plot
