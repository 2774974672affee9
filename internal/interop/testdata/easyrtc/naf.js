// The user of a page with networked-aframe. A test calls the methods of window.user, and
// reads in user.journal what has happened, in order: {type, ...} with the types
//
//	connected                  to the server and in the room
//	open, close  with          a client that this page exchanges data with
//	data         from, data    what somebody has sent
/* global NAF */
'use strict'

window.user = (() => {
  const journal = []
  const note = (type, entry) => journal.push({ type, ...entry })
  const dataType = 'test'

  document.body.addEventListener('clientConnected', (e) => note('open', { with: e.detail.clientId }))
  document.body.addEventListener('clientDisconnected', (e) => note('close', { with: e.detail.clientId }))

  return {
    journal,
    saw: (type, want) => journal.some((entry) => entry.type === type &&
      Object.entries(want ?? {}).every(([key, value]) => JSON.stringify(entry[key]) === JSON.stringify(value))),

    // connect enters a room of a server with the adapter "easyrtc", which sends on data
    // channels, or "wseasyrtc", which sends through the server. media is for the former.
    connect (adapter, url, room, media = false) {
      NAF.connection.setNetworkAdapter(NAF.adapters.make(adapter))
      NAF.connection.onConnect(() => note('connected'))
      NAF.connection.subscribeToDataChannel(dataType, (from, type, data) => note('data', { from, data }))
      NAF.connection.connect(url, 'default', room, media, media)
    },
    id: () => NAF.clientId,
    peers: () => Object.keys(NAF.connection.getConnectedClients()).sort(),
    send: (to, data) => NAF.connection.sendData(to, dataType, data),
    sendGuaranteed: (to, data) => NAF.connection.sendDataGuaranteed(to, dataType, data),
    broadcast: (data) => NAF.connection.broadcastData(dataType, data),
    broadcastGuaranteed: (data) => NAF.connection.broadcastDataGuaranteed(dataType, data),

    // media becomes the numbers of audio and video tracks that come from a client.
    media: async (id) => ({
      audio: (await NAF.connection.adapter.getMediaStream(id, 'audio')).getAudioTracks().length,
      video: (await NAF.connection.adapter.getMediaStream(id, 'video')).getVideoTracks().length
    }),
    disconnect: () => NAF.connection.disconnect()
  }
})()
