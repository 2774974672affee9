// Chromium may lose what a page sends while it is told of a data channel that the other side
// has made: send returns, but messagesSent of the channel stays 0. easyrtc.js says
// "dataChannelPrimed" just then, and never again. This repeats it until it is on its way.
'use strict'
{
  const { send } = RTCDataChannel.prototype
  const { getStats } = window // of the browser, see page.html
  const connections = new WeakMap() // by their channels
  const cached = 100 // ms, for longer than which getStats does not answer the same

  const sent = async (channel) => {
    const all = await getStats.call(connections.get(channel))
    return [...all.values()].find((s) => s.type === 'data-channel' && s.dataChannelIdentifier === channel.id)?.messagesSent
  }

  const insist = async (channel, text) => {
    do {
      send.call(channel, text)
      await new Promise((resolve) => setTimeout(resolve, cached))
    } while (channel.readyState === 'open' && await sent(channel) === 0)
  }

  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor (...args) {
      super(...args)
      this.addEventListener('datachannel', ({ channel }) => connections.set(channel, this))
    }
  }

  RTCDataChannel.prototype.send = function (data) {
    if (data === 'dataChannelPrimed' && connections.has(this)) insist(this, data)
    else send.call(this, data)
  }
}
