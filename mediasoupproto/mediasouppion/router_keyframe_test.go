package mediasouppion

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestKeyFramesAreFound(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		codec   videoCodec
		payload []byte
		key     bool
	}{
		"other":                             {codecOther, nil, true},
		"VP8 nothing":                       {codecVP8, nil, false},
		"VP8 descriptor only":               {codecVP8, []byte{0x10}, false},
		"VP8 plain":                         {codecVP8, []byte{0x10, 0x00}, true},
		"VP8 plain, other frame":            {codecVP8, []byte{0x10, 0x01}, false},
		"VP8 no start":                      {codecVP8, []byte{0x00, 0x00}, false},
		"VP8 second partition":              {codecVP8, []byte{0x11, 0x00}, false},
		"VP8 PictureID":                     {codecVP8, []byte{0x90, 0x80, 0x11, 0x00}, true},
		"VP8 PictureID of 15 bits":          {codecVP8, []byte{0x90, 0x80, 0x91, 0x11, 0x00}, true},
		"VP8 PictureID, other frame":        {codecVP8, []byte{0x90, 0x80, 0x91, 0x10, 0x01}, false},
		"VP8 all extensions":                {codecVP8, []byte{0x90, 0xf0, 0x91, 0x11, 1, 1, 0x00}, true},
		"VP8 all extensions, other frame":   {codecVP8, []byte{0x90, 0xf0, 0x91, 0x10, 0, 0, 0x01}, false},
		"VP8 TID only":                      {codecVP8, []byte{0x90, 0x20, 0x01, 0x00}, true},
		"VP8 cut off in the PictureID":      {codecVP8, []byte{0x90, 0x80}, false},
		"VP8 cut off after the PictureID":   {codecVP8, []byte{0x90, 0x80, 0x91, 0x11}, false},
		"VP8 cut off after the extensions":  {codecVP8, []byte{0x90, 0xf0, 0x11, 1, 1}, false},
		"VP9 nothing":                       {codecVP9, nil, false},
		"VP9 plain":                         {codecVP9, []byte{0x08}, true},
		"VP9 predicted":                     {codecVP9, []byte{0x48}, false},
		"VP9 no start":                      {codecVP9, []byte{0x00}, false},
		"VP9 lowest layer":                  {codecVP9, []byte{0xa8, 0x81, 0x01, 0x01}, true},
		"VP9 upper layer":                   {codecVP9, []byte{0xa8, 0x01, 0x02}, false},
		"VP9 cut off":                       {codecVP9, []byte{0xa8, 0x81, 0x01}, false},
		"H264 nothing":                      {codecH264, nil, false},
		"H264 IDR":                          {codecH264, []byte{0x65, 0}, true},
		"H264 SPS":                          {codecH264, []byte{0x67, 0}, true},
		"H264 PPS":                          {codecH264, []byte{0x68, 0}, false},
		"H264 other picture":                {codecH264, []byte{0x61, 0}, false},
		"H264 STAP-A with SPS":              {codecH264, []byte{0x78, 0, 1, 0x67, 0, 1, 0x68}, true},
		"H264 STAP-A with SPS later":        {codecH264, []byte{0x78, 0, 2, 0x06, 9, 0, 1, 0x67}, true},
		"H264 STAP-A without":               {codecH264, []byte{0x78, 0, 2, 0x06, 9, 0, 1, 0x61}, false},
		"H264 STAP-A of wrong sizes":        {codecH264, []byte{0x78, 0xff, 0xff, 0x06, 9, 0, 1, 0x67}, false},
		"H264 STAP-A of no size":            {codecH264, []byte{0x78, 0, 0, 0x06, 0, 1, 0x67}, false},
		"H264 FU-A, start of IDR":           {codecH264, []byte{0x7c, 0x85}, true},
		"H264 FU-A, start of SPS":           {codecH264, []byte{0x7c, 0x87}, true},
		"H264 FU-A, middle of IDR":          {codecH264, []byte{0x7c, 0x05}, false},
		"H264 FU-A, start of other picture": {codecH264, []byte{0x7c, 0x81}, false},
		"H265 nothing":                      {codecH265, []byte{0x40}, false},
		"H265 VPS":                          {codecH265, []byte{0x40, 1, 0}, true},
		"H265 IDR":                          {codecH265, []byte{0x26, 1, 0}, true},
		"H265 other picture":                {codecH265, []byte{0x02, 1, 0}, false},
		"H265 aggregation with VPS":         {codecH265, []byte{0x60, 1, 0, 9, 0x40}, true},
		"H265 aggregation cut off":          {codecH265, []byte{0x60, 1, 0, 9}, false},
		"H265 fragment, start of IDR":       {codecH265, []byte{0x62, 1, 0x93}, true},
		"H265 fragment, middle of IDR":      {codecH265, []byte{0x62, 1, 0x13}, false},
	} {
		require.Equal(t, test.key, test.codec.beginsKeyFrame(test.payload), name)
	}
}

func TestCodecsAreKnownByEitherName(t *testing.T) {
	t.Parallel()
	require.Equal(t, codecVP8, codecOf("VP8", ""))
	require.Equal(t, codecH264, codecOf("", "video/h264"))
	require.Equal(t, codecVP9, codecOf("x", "video/VP9"))
	require.Equal(t, codecH265, codecOf("h265", ""))
	require.Equal(t, codecOther, codecOf("opus", "audio/opus"))
}

func FuzzKeyFrame(f *testing.F) {
	f.Add([]byte{0x90, 0xf0, 0x91, 0x11, 1, 1, 0x00})
	f.Add([]byte{0x78, 0, 2, 0x06, 9, 0, 1, 0x67})
	f.Fuzz(func(_ *testing.T, b []byte) {
		for c := codecOther; c <= codecH265; c++ {
			c.beginsKeyFrame(b)
		}
	})
}
