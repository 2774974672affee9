package msepion

import "time"

// SetPatience changes how long a member may keep the others waiting, before anybody enters.
func (r *Rooms) SetPatience(d time.Duration) { r.patience = d }
