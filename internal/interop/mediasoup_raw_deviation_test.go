package interop

// mediasoupDeviations are all of them, by the names of cases.
var mediasoupDeviations = map[string]mediasoupDeviation{}
