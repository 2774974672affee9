// Package galenehttp is what goes over HTTP around package galene: how clients find a
// server and what they need of it, and the endpoints of a server.
//
// # Client
//
//	client, joined, err := galenehttp.Join(ctx, "https://galene.example.org/group/lab/", "ada", "sesame", nil)
//
// [Join] does this in steps that are there for themselves: [Discover] asks for the status of
// a group, follows it to another server and knows where old servers have it; [Dial] opens
// the connection, [Connect] does both and shakes hands; [JoinRequest] asks
// the authorisation server of a group, if it has one, see [AuthServer]. A user without
// credentials is sent to the AuthPortal of the status, which sends him back to the address
// of the group with a token, see [GroupURL.Link].
//
// [Publish] sends a stream without a client, over WHIP.
//
// Tokens and passwords are in no error and in no text. A request that carries one follows no
// redirection, and [DialOptions.Header] goes to no other host.
//
// # Server
//
// [NewHandler] puts these endpoints before a [galene.Server]:
//
//	GET    /ws                           WebSocket
//	GET    /public-groups.json           status of the groups that are public
//	GET    /group/NAME/.status           status of a group
//	GET    /group/NAME/.status.json      what it was called before 0.8.1
//	GET    /group/NAME/                  the page of the web client
//	GET    /…                            files of the web client
//	POST   /group/NAME/.whip             publishes a stream       with [Options.WHIP]
//	PATCH  /group/NAME/.whip/ID          candidates, ICE restart
//	DELETE /group/NAME/.whip/ID          ends it
//
// With [Options.Static], Galène's own web client works: with two members in a group without
// a media engine, see [galene.MediaRouter].
//
// [AuthHandler] is an authorisation server, for package galenejwt.
//
// # Where the handler differs from Galène
//
//   - A GET of /ws without an upgrade is answered with 426, not 400.
//   - There are no recordings and there is no administrative API: both are 404.
//   - Requests with other methods than those above are answered with 405. Galène takes any
//     for a GET.
//   - The query stays in a redirection to the path with its last slash, so that an
//     invitation without it works.
//   - A WHIP offer that is no SDP is answered with 400, not 500; one for a group that is
//     elsewhere with a redirection. Its answer has the candidates that come until half a
//     second passes without one.
//   - Files and folders that begin with a dot are not served.
package galenehttp
