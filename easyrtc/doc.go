// Package easyrtc speaks EasyRTC, the signaling protocol of open-easyrtc and easyrtc: typed
// messages, a client and a server over any connection that carries Engine.IO messages.
package easyrtc
