package mediasoupproto

// serverReplayExceptions are where our server does otherwise than mediasoup, by the line.
var serverReplayExceptions = map[string]serverReplayException{
	"11-close-transport-by-client:44": {
		ours: `{"id":73592810,"method":"consumerClosed","notification":true,"peerName":"alice","target":"peer"}`,
		why:  "several producers end in the order in which they were made",
	},
	"11-close-transport-by-client:45": {
		ours: `{"id":69590928,"method":"consumerClosed","notification":true,"peerName":"alice","target":"peer"}`,
		why:  "several producers end in the order in which they were made",
	},

	"12-close-transport-by-server:43": {
		ours: `{"id":42256514,"method":"consumerClosed","notification":true,"peerName":"alice","target":"peer"}`,
		why:  "several producers end in the order in which they were made",
	},
	"12-close-transport-by-server:44": {
		ours: `{"id":50775280,"method":"consumerClosed","notification":true,"peerName":"alice","target":"peer"}`,
		why:  "several producers end in the order in which they were made",
	},

	"32-join-without-headerExtensions-field-then-producer:3": {
		ours: `1001 TypeError: rtpCapabilities.headerExtensions is missing`,
		why:  "such a peer would make everybody else's producers fail",
	},
	"32-join-without-headerExtensions-field-then-producer:5":  {why: "bob has not joined"},
	"32-join-without-headerExtensions-field-then-producer:21": {why: "bob has not joined"},
	"32-join-without-headerExtensions-field-then-producer:22": {why: "bob has not joined"},
	"32-join-without-headerExtensions-field-then-producer:6": {
		ours: `1001 {"peers":[]}`,
		why:  "bob has not joined",
	},
	"32-join-without-headerExtensions-field-then-producer:14": {ours: `1003 {}`, why: "nobody makes it fail"},

	"33-bad-input-transport:18": {
		ours: `1005 Error: Request has not numeric internal.transportId`,
		why:  "an id that its client would never be told is refused",
	},
	"33-bad-input-transport:21": {
		ours: `1006 Error: Request has not numeric internal.transportId`,
		why:  "an id that its client would never be told is refused",
	},
	"33-bad-input-transport:64": {
		ours: `1017 TypeError: wrong options`,
		why:  "a member that is known has its JSON type or is absent",
	},
	"33-bad-input-transport:67": {
		ours: `1018 TypeError: wrong options`,
		why:  "a member that is known has its JSON type or is absent",
	},
	"33-bad-input-transport:81": {
		ours: `1022 TypeError: wrong options.udp`,
		why:  "a member that is known has its JSON type or is absent",
	},
	"33-bad-input-transport:143": {skip: true, why: "ids are those of one peer: nobody can take another's"},
	"33-bad-input-transport:146": {skip: true, why: "ids are those of one peer: nobody can take another's"},

	"34-bad-input-producer:89": {
		ours: `1019 Error: wrong RTP parameters: TypeError: rtpParameters is missing`,
		why:  "V8 says it so",
	},
	"34-bad-input-producer:161": {why: "a member that is known has its JSON type or is absent"},
	"34-bad-input-producer:162": {why: "a member that is known has its JSON type or is absent"},
	"34-bad-input-producer:163": {
		ours: `1035 Error: wrong RTP parameters: TypeError: wrong rtpParameters.encodings[0].ssrc`,
		why:  "a member that is known has its JSON type or is absent",
	},
	"34-bad-input-producer:257": {why: "an id that its client would never be told is refused"},
	"34-bad-input-producer:258": {why: "an id that its client would never be told is refused"},
	"34-bad-input-producer:259": {
		ours: `1055 Error: Request has not numeric internal.producerId`,
		why:  "an id that its client would never be told is refused",
	},
	"34-bad-input-producer:267": {why: "a member that is known has its JSON type or is absent"},
	"34-bad-input-producer:268": {why: "a member that is known has its JSON type or is absent"},
	"34-bad-input-producer:269": {
		ours: `1057 TypeError: wrong paused`,
		why:  "a member that is known has its JSON type or is absent",
	},
	"34-bad-input-producer:290": {skip: true, why: "ids are those of one peer: nobody can take another's"},
	"34-bad-input-producer:293": {skip: true, why: "ids are those of one peer: nobody can take another's"},

	"37-plain-rtp-transport:9": {ours: `1002 TypeError: options is missing`, why: "V8 says it so"},

	"39-join-with-bad-caps-leaves-a-zombie-peer:10": {
		ours: `1001 TypeError: rtpCapabilities.headerExtensions is missing`,
		why:  "a join that is refused leaves nothing behind",
	},
	"39-join-with-bad-caps-leaves-a-zombie-peer:12": {
		skip: true,
		why:  "no peer has been left behind that has the name",
	},
	"39-join-with-bad-caps-leaves-a-zombie-peer:14": {
		skip: true,
		why:  "no peer has been left behind that has the name",
	},

	"42-pipelining-and-big-messages:23": {skip: true, why: "its request is not in the trace"},
}
